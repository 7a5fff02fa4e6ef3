package golden;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.lang.reflect.Field;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.apache.commons.cli.CommandLine;
import org.apache.commons.cli.DefaultParser;
import org.apache.commons.cli.Option;
import org.apache.commons.cli.Options;
import org.apache.rocketmq.srvutil.ServerUtil;
import org.apache.rocketmq.tools.command.MQAdminStartup;
import org.apache.rocketmq.tools.command.SubCommand;

/** Command lines of mqadmin: what its parser makes of them, the first lines that it prints, its exit status. */
final class CommandLines {
    /** Words with blanks between; '' is an empty word, a tilde stands for a blank within one. */
    private static final String[] LINES = {
        // Values: behind their option, in its word, in quotes.
        "topicRoute -t T", "topicRoute -tT", "topicRoute -t=T", "topicRoute -topic T", "topicRoute --topic T",
        "topicRoute -topic=T", "topicRoute --topic=T", "topicRoute -topicT", "topicRoute -topicTT", "topicRoute --topicTT",
        "topicRoute -t \"T\"", "topicRoute -t=\"T\"", "topicRoute --topic=\"T\"", "topicRoute -t\"T\"", "topicRoute -t \"",
        "topicRoute -t \"\"", "topicRoute -t \"a\"b\"", "topicRoute -t ''", "topicRoute -t=", "topicRoute --topic=",
        "topicRoute -t ~T~", "topicRoute -t a=b", "topicRoute -ta=b", "topicRoute -t=a=b", "topicRoute --topic=a=b",
        "topicRoute -t -", "topicRoute -t -5", "topicRoute -t -1e3", "topicRoute -t --5", "topicRoute -t -.5", "topicRoute -t -x",
        "topicRoute -t --x", "topicRoute -t -n", "topicRoute -t -nope", "topicRoute -t -hx", "topicRoute -t -x=1", "topicRoute -t --",
        // Beginnings of long names.
        "topicRoute --t T", "topicRoute -to T", "topicRoute --to=T", "topicRoute -top=T", "topicRoute --n a:1 -t T",
        "topicRoute -name a:1 -t T", "topicRoute --namesrvAddr=a:1 -t T", "topicRoute -namesrvAddr a:1 -t T",
        "topicRoute -namesrvAddra:1 -t T", "topicRoute -na:1 -t T", "topicRoute -n=a:1 -t T", "topicRoute --namesrvaddr a:1 -t T",
        "consumeMessage -t T --b x", "consumeMessage -t T --be 1", "consumeMessage -t T --beginTimestamp 1",
        "consumeMessage -t T -brokerNamex", "consumeMessage -t T --Message 3", "clusterRT --p true", "clusterRT --print true",
        "updateSubGroup --c -g G", "updateSubGroup --consume true -g G", "updateSubGroup -t --consume -g G",
        "updateSubGroup --consume=true -g G", "updateSubGroup -g --consume",
        // Flags, and letters in one word.
        "topicRoute -l -t T", "topicRoute -lt T", "topicRoute -ltT", "topicRoute -lt=T", "topicRoute -tl T", "topicRoute -l=true -t T",
        "topicRoute --list=true -t T", "topicRoute -l true -t T", "topicRoute -lx -t T", "topicRoute -ll -t T", "topicRoute -lh -t T",
        "topicRoute --list -t T", "topicRoute --li -t T", "clusterList -m -i 3", "clusterList -mi 3", "clusterList -mi3",
        "exportMetadata -tgs -c C", "exportMetadata -tgsc C", "exportMetadata -tgsx",
        // Short names of several letters, long names without a short one.
        "updateStaticTopic -mf f -t T -qn 1 -c C", "updateStaticTopic -mf=f -t T -qn 1 -c C", "updateStaticTopic -mff -t T -qn 1 -c C",
        "electMaster -a x -b 1 -bn B -c C", "electMaster -a x -b 1 -bnB -c C", "updateSubGroup -g G -attributes +a=b",
        "updateSubGroup -g G --attributes=+a=b", "updateSubGroup -g G --attr +a=b", "updateSubGroup -g G -attributes+a=b",
        // Stray words, repeated options, the end of options.
        "topicRoute T -t U", "topicRoute -t T U V", "topicRoute - -t T", "topicRoute '' -t T", "topicRoute -t T -t U",
        "topicRoute -t T --topic=U", "topicRoute -t T -- -x", "topicRoute -- -t T", "topicRoute -t T -- -l", "topicRoute -l x -t T y",
        // Mistakes.
        "topicRoute", "topicRoute -x", "topicRoute --x", "topicRoute -x=1", "topicRoute -xyz", "topicRoute --=T", "topicRoute ---t T",
        "topicRoute -t", "topicRoute --topic", "topicRoute -l -t", "topicRoute -t -l", "topicRoute -t -l -x", "topicRoute -x -t",
        "topicRoute -t T -x", "topicRoute -n", "deleteTopic", "deleteTopic -t T", "deleteTopic -c C", "deleteTopic -n a:1",
        "updateTopic -t T", "updateTopic", "updateTopic -b x -c C -t T", "updateTopic -c C -b x -t T", "updateTopic -b x -c", "updateTopic -c",
        "updateTopic -b x -b y -t T", "updateTopic -b x", "updateKvConfig -s N -k K", "updateKvConfig -v", "cleanBrokerMetadata -a x",
        "updateUser -b x -u U", "updateUser -b x -u U -p P -t Super", "updateUser -u U",
        // Help.
        "topicRoute -h -t T", "topicRoute -t T -h", "topicRoute -h", "topicRoute --help", "topicList -h", "topicList --he", "topicList -ch",
        "topicList -h -x", "topicList -h stray", "topicList -hc", "topicList -h=1", "topicList --help=1", "topicList -hn", "TOPICLIST -h",
    };

    private CommandLines() {
    }

    /** Thrown instead of ending the process. */
    private static final class Exit extends Error {
        private static final long serialVersionUID = 1;
        final int status;

        Exit(int status) {
            super(null, null, false, false);
            this.status = status;
        }
    }

    static Vectors record() throws Exception {
        MQAdminStartup.initCommand();
        Field field = MQAdminStartup.class.getDeclaredField("SUB_COMMANDS");
        field.setAccessible(true);
        List<SubCommand> commands = new ArrayList<>();
        for (Object command : (List<?>) field.get(null)) {
            commands.add((SubCommand) command);
        }
        Vectors vectors = new Vectors();
        catchExits();
        for (String line : LINES) {
            List<String> words = new ArrayList<>();
            for (String word : line.split(" ")) {
                words.add(word.equals("''") ? "" : word.replace('~', ' '));
            }
            SubCommand command = commands.stream().filter(c -> c.commandName().equalsIgnoreCase(words.get(0))).findFirst().get();
            run(command, words, vectors.add("line").with("words", words));
        }
        return vectors;
    }

    /** Reads the words as MQAdminStartup does. */
    private static void run(SubCommand command, List<String> words, Vectors.Vector vector) {
        PrintStream out = System.out;
        PrintStream err = System.err;
        ByteArrayOutputStream printed = new ByteArrayOutputStream();
        ByteArrayOutputStream complained = new ByteArrayOutputStream();
        try {
            System.setOut(new PrintStream(printed, true, StandardCharsets.UTF_8));
            System.setErr(new PrintStream(complained, true, StandardCharsets.UTF_8));
            Options options = command.buildCommandlineOptions(ServerUtil.buildCommandlineOptions(new Options()));
            String[] rest = words.subList(1, words.size()).toArray(new String[0]);
            CommandLine read = ServerUtil.parseCmdLine("mqadmin " + command.commandName(), rest, options, new DefaultParser());
            Map<String, String> values = new LinkedHashMap<>();
            for (Option option : read.getOptions()) {
                String key = option.getOpt() == null ? option.getLongOpt() : option.getOpt();
                values.putIfAbsent(key, option.hasArg() ? read.getOptionValue(key) : "");
            }
            vector.with("options", values);
        } catch (Exit exit) {
            vector.with("status", exit.status);
            vector.with("out", first(printed)).with("err", withoutSentences(first(complained)));
        } finally {
            System.setOut(out);
            System.setErr(err);
        }
    }

    private static String first(ByteArrayOutputStream bytes) {
        return bytes.toString(StandardCharsets.UTF_8).split("\n", 2)[0];
    }

    /** The message about a missing group has the help sentences of its options, which are not recorded. */
    private static String withoutSentences(String line) {
        return Pattern.compile("\\[(-.*?)\\]").matcher(line).replaceAll(group -> Arrays.stream(group.group(1).split(", (?=-)"))
            .map(option -> option.split(" ")[0]).collect(Collectors.joining(", ", "[", "]")));
    }

    @SuppressWarnings("removal")
    private static void catchExits() {
        System.setSecurityManager(new SecurityManager() {
            @Override public void checkPermission(java.security.Permission permission) { }
            @Override public void checkPermission(java.security.Permission permission, Object context) { }
            @Override public void checkExit(int status) {
                boolean isParsing = Arrays.stream(Thread.currentThread().getStackTrace())
                    .anyMatch(frame -> frame.getClassName().equals(ServerUtil.class.getName()));
                if (isParsing) {
                    throw new Exit(status);
                }
            }
        });
    }
}
