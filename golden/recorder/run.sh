#!/bin/sh
# Records golden/vectors again from the RocketMQ release that pom.xml names. Needs a JDK 17 or later, and Maven.
set -eu
cd "$(dirname "$0")"
mkdir -p ../vectors
mvn --quiet --batch-mode compile dependency:build-classpath -Dmdep.outputFile=target/classpath
exec java -Djava.security.manager=allow -Duser.home="$PWD/target" -Duser.timezone=UTC -cp "target/classes:$(cat target/classpath)" golden.Main "$(cd ../vectors && pwd)"
