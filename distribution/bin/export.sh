#!/bin/sh
# Writes settings, topics, groups and figures of a cluster into one file, FOLDER/rocketmq-metadata-export.json. Asks for
# what it needs: name servers, cluster, folder.
here=$(cd "$(dirname "$0")" && pwd)

names=
while [ -z "$names" ]; do
  printf 'Enter name server address list:'
  read -r names || exit 1
done
cluster=
while [ -z "$cluster" ]; do
  printf 'Choose a cluster to export:'
  read -r cluster || exit 1
done
printf 'Enter file path to export [default /tmp/rocketmq/export]:'
read -r folder
folder=${folder:-/tmp/rocketmq/export}
mkdir -p "$folder" || exit 1

# What an earlier run left must not be taken for what this one found.
rm -f "$folder/configs.json" "$folder/metadata.json" "$folder/metrics.json"
for what in Metrics Configs Metadata; do
  sh "$here/mqadmin" "export$what" -c "$cluster" -n "$names" -f "$folder" || exit 1
done

part() {
  if [ -s "$folder/$1.json" ]; then cat "$folder/$1.json"; else echo "{}"; fi
}
{
  echo "{\"configs\": $(part configs),"
  echo "\"metadata\": $(part metadata),"
  echo "\"metrics\": $(part metrics)}"
} > "$folder/rocketmq-metadata-export.json" || exit 1
echo "[INFO] The RocketMQ metadata has been exported to the file:$folder/rocketmq-metadata-export.json"
