package golden;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import org.apache.rocketmq.broker.filter.ConsumerFilterManager;
import org.apache.rocketmq.filter.FilterFactory;
import org.apache.rocketmq.filter.expression.EvaluationContext;
import org.apache.rocketmq.filter.expression.Expression;
import org.apache.rocketmq.filter.util.BloomFilter;

/**
 * SQL92 filters: what becomes of each expression, and for each of a few messages whether it lets them through.
 *
 * <p>A vector {@code properties} is a message. A vector {@code filter} has either the text of the refusal ({@code error}),
 * as a client sees it, or a letter for each message: T and F for true and false, N for null, X when the evaluation fails;
 * only T lets a message through.
 */
final class Filters {
    private static final String[] OPERATORS = {"=", "<>", ">", ">=", "<", "<="};

    private static final String[] CONSTANTS = {"0", "1", "5", "-5", "2147483647", "2147483648", "9223372036854775807", "5L",
        "1.5", ".5", "5.", "1e3", "5E-1", "-1.5", "'a'", "'5'", "'it''s'", "''", "'true'", "TRUE", "false", "NULL", "+3"};

    private static final String[] NAMES = {"a", "b", "c", "TAGS", "missing", "_x", "$y"};

    private static final String[] WHOLE = {
        "", " ", "a", "(a)", "a AND b", "NOT a", "TRUE", "FALSE", "NULL", "5", "'a'", "-a", "+a", "-5", "1.5", "NOT NULL", "NOT TRUE",
        "NOT NOT TRUE", "not true or true", "True", "a Or TRUE", "a is null", "a IS NOT NULL", "NULL IS NULL", "5 IS NULL", "a IS",
        "a IS NOT", "a IS NOT 5", "a IS 5", "a IS NULL IS NULL", "a IS NULL = TRUE", "(a = 5) = TRUE", "(a = 5) = 'true'", "(a = 5) = 1",
        "'true' = (a = 5)", "a = TRUE", "TRUE = a", "TRUE = 1", "1 = TRUE", "TRUE = TRUE", "TRUE <> FALSE", "TRUE = 'true'",
        "'TRUE' = TRUE", "TRUE > FALSE", "a > TRUE", "a > 'x'", "'x' < a", "a > NULL", "a = NULL", "NULL = a", "a <> NULL", "NULL = NULL",
        "(a > 1) > 1", "a > 1 > 1", "a = 1 = TRUE", "a = 1 = 1", "a = b = c", "a > b", "b >= a", "a < missing", "missing < a", "missing = a",
        "missing <> a", "missing = nothing", "missing <> nothing", "a = b", "a <> b", "c = a", "5 = 5", "5 = 5.0", "5 = '5'", "'5' = 5",
        "5.0 = 5", "1.5 > 1", "1 > 1.5", "3000000000 > 5", "5 < 3000000000", "1.5 < 3000000000", "'a' = 'a'", "'a' <> 'b'", "'5' > '3'",
        "a > 2147483648", "a > 1.0", "a > 0.0", "a = 0.0", "a > 0e0", "a > 1e999", "a > 1e-999", "a > 1e-400", "a = 99999999999999999999",
        "a = -9223372036854775808", "a = -9223372036854775807", "a = 9223372036854775808", "a = 0L", "a = 00", "a = 007", "a = 007.5",
        "a = 1abc", "a = 1.5.5", "a = 1 b = 2", "a = 1 ,", "a = 1 )", "a = 1 #", "a = 1 'x", "a = 1 - 1", "a = 1 + 1", "a = 1 * 2", "a = 1 / 2",
        "a = 1 /", "a = 1 %", "a != 1", "a == 1", "a => 1", "a =< 1", "a < > 1", "a <>1", "a>=1", "a > = 1", ".", "a = .", "a = .x", "a = 5.x", "a = 5e",
        "a = 5e+", "#", "a #", "@a", "a = @", "\u4e2d", "a = '\u4e2d\u6587'", "a = \u4e2d", "a = '\ud83d\ude00'", "a = \ud83d\ude00", "a\u00e9 = 1", "a.b = 1",
        "a-b = 1", "a = \"x\"", "`a` = 1", "a = '", "a = 'x", "a = 'x''", "a = 'x''y", "a = 'x'''", "a = ''''", "a = '''", "a = 'x' 'y'", "a = 'x\ny'", "a = '\ud83d\ude00", "'\ud83d\ude00", "/\ud83d\ude00", "a = /\ud83d\ude00 1",
        "a = 'x\n", "a = '\n", "a = 'x\t", "-- all\na = 5", "a = 5 -- all", "a = 5 -- all\n", "a = 5 -- all\r", "a = -- x\r\n5", "a -- x", "--", "--\n", "-- x", "/* x */ a = 5",
        "a /* = 6 */ = 5", "/**/a = 5", "/***/a = 5", "/*/ a = 5", "a = 5 /*", "a = 5 /* x", "a = 5 /* x *", "/* * / ** */ a = 5", "/", "/ ", "a = 5 / ", "/* \n */ # ",
        "\t#", "a\t#", "a\n#", "a\r\n  #", "a\r#", "a =\n\n  )", "a =\t)", "a\f=\f5", "a = 1 AND", "a = 1 AND )", "a = 1 OR", "AND", "OR a", "a AND OR b", "(a", "(a = 1", "(a = 1 b",
        "()", "(", ")", "a)", "((a = 5))", "(((a) = ((5))))", "a (b)", "a NOT", "a NOT b", "a NOT NULL", "a NOT #", "a IS #", "NOT", "NOT )", "a = 1 NOT", "a BETWEEN", "a BETWEEN 1",
        "a BETWEEN 1 AND", "a BETWEEN 1 AND 9", "a BETWEEN 9 AND 1", "a NOT BETWEEN 9 AND 1", "a NOT BETWEEN 1 AND 3", "a BETWEEN 1 5", "a BETWEEN 1 OR 5", "a BETWEEN 5 AND 5", "a BETWEEN 1.5 AND 9",
        "a BETWEEN 1 AND 1.5", "a BETWEEN 9 AND 1.5", "a BETWEEN 9.5 AND 1", "a BETWEEN -5 AND 5", "a BETWEEN 5 AND -5", "a BETWEEN 'a' AND 'b'", "a BETWEEN 'b' AND 'a'", "a BETWEEN 'x' AND 5", "a BETWEEN 5 AND 'x'",
        "a BETWEEN '1' AND 5", "a BETWEEN 9 AND '1'", "a BETWEEN NULL AND 5", "a BETWEEN 1 AND NULL", "a BETWEEN TRUE AND 5", "a BETWEEN 1 AND TRUE", "a BETWEEN TRUE AND FALSE", "a BETWEEN FALSE AND TRUE", "a BETWEEN b AND c", "a NOT BETWEEN b AND c",
        "5 BETWEEN 1 AND 9", "5 NOT BETWEEN 1 AND 9", "'5' BETWEEN 1 AND 9", "a BETWEEN 3000000000 AND 5", "a BETWEEN 5 AND 3000000000", "a BETWEEN -'x' AND 5", "-a BETWEEN 1 AND 5", "(a = 1) BETWEEN 1 AND 2", "missing BETWEEN 1 AND 9", "missing NOT BETWEEN 1 AND 9",
        "a BETWEEN missing AND 9", "a NOT BETWEEN missing AND 3", "a BETWEEN 1 AND missing", "a BETWEEN 1 AND 9 AND b = 'x'", "a BETWEEN (1) AND (9)", "a IN ('5')", "a IN ('x', '5')", "a NOT IN ('x', 'y')", "a IN ()", "a IN", "a IN 5", "a IN (5)", "a IN ('5'", "a IN ('5',",
        "a IN ('5', 6)", "a IN ('5' '6')", "a NOT IN 5", "a NOT IN (5)", "a NOT IN ('5' 6", "a NOT IN ('5',)", "(a) IN ('5')", "+a IN ('5')", "-a IN ('5')", "5 IN ('5')", "'5' IN ('5')", "(a = 5) IN ('x')", "(a) NOT IN ('5')", "5 NOT IN ('5')", "(a = 5) NOT IN ('x')", "a IN ('x') IN ('y')",
        "a IN ('1', '2', '3', '4', '5', '6')", "a NOT IN ('1', '2', '3', '4', '6', '6')", "missing IN ('x')", "missing NOT IN ('x')", "a IN ('it''s')", "a IN ('')", "a IN ('5') #", "(5) IN ('x') #", "a CONTAINS '5'", "a CONTAINS ''", "a CONTAINS", "a CONTAINS 5", "a CONTAINS b", "a NOT CONTAINS '5'",
        "a NOT CONTAINS ''", "a NOT CONTAINS 5", "missing CONTAINS 'x'", "missing NOT CONTAINS 'x'", "5 CONTAINS '5'", "'abc' CONTAINS 'b'", "(a = 5) CONTAINS 't'", "a CONTAINS 'x' = FALSE", "a CONTAINS 'x' CONTAINS 'y'", "NOT a CONTAINS '5'", "NOT (a CONTAINS '5')", "a STARTSWITH '5'", "a STARTSWITH ''",
        "a STARTSWITH 5", "a NOT STARTSWITH '5'", "a NOT STARTSWITH 5", "b STARTSWITH 'a'", "b ENDSWITH 'c'", "b ENDSWITH ''", "b ENDSWITH 5", "b NOT ENDSWITH 'c'", "b NOT ENDSWITH 5", "b contains 'b'", "b startswith 'a' and b endswith 'c'", "missing STARTSWITH 'x'", "missing NOT ENDSWITH 'x'", "'abc' STARTSWITH 'a'",
        "CONTAINS = 5", "IN IN ('x')", "IS = 1", "NULLa = 1", "NOTa = 1", "_ = 1", "$ = 1", "a1 = 1", "1a = 1", "a LIKE 'x'", "a = 5 AND b LIKE 'x'", "a > 1 AND a < 9", "a > 1 OR missing > 1", "missing > 1 OR a > 1", "missing > 1 AND a > 100", "missing > 1 AND a > 1", "a > 100 AND b > 1", "a > 1 OR b > 1",
        "b > 1 OR a > 1", "b > 1 AND a > 100", "a > 100 AND (b > 1)", "NOT (b > 1)", "NOT b > 1", "NOT (a > 1)", "NOT a > 1", "NOT a = 5", "NOT missing", "NOT (missing > 1)", "NOT (missing IS NULL)", "NOT -a", "NOT 5", "NOT 'x'", "NOT (5)", "-(-5) = 5", "- - 5 = 5", "--5 = 5", "-a = 5", "-a IS NULL",
        "-'x' IS NULL", "-TRUE IS NULL", "-NULL IS NULL", "-(a = 5) IS NULL", "-1.5 < 1", "-1.5 = -1.5", "-3000000000 < 5", "+ + + 5 = 5", "+(a = 5)", "+(a = 5 b)", "+ )", "+", "a = +", "a = + )", "+ (a = 1", "+ a #", "+ (a = #)", "+ (5 > 'x'", "a + b", "-", "a = -", "a = - )", "a = --", "a = 1 AND +", "a AND (b OR c)",
        "a OR (b AND c)", "(a OR b) AND c", "a AND b AND c OR a", "(a AND b) > 1", "(a OR b OR c) > 1", "(a IN ('x', 'y')) > 1", "(a IN ('one', 'two', 'three', 'four', 'five', 'six', 'seven')) > 1", "(a NOT IN ('x')) > 1", "(a CONTAINS 'x') > 1", "(a NOT ENDSWITH 'it''s') > 1", "(a IS NULL) > 1", "(a IS NOT NULL) > 1",
        "(a BETWEEN 1 AND 2) > 1", "(a NOT BETWEEN 1 AND 2) > 1", "(NOT a) > 1", "(a <> -b) > 1", "(a = 'it''s') > 1", "(a = 1.50) > 1", "(a = 1e10) > 1", "(a = 1e-5) > 1", "(a = 123456789.125) > 1", "(a = 3000000000) > 1", "(a = TRUE) > 1", "(NOT TRUE) > 1", "1 > (a = 1)", "TRUE AND FALSE", "TRUE AND 5", "5 AND TRUE", "'x' OR TRUE",
        "TRUE OR 'x'", "TRUE AND -a", "NULL AND TRUE", "NULL OR TRUE", "NULL OR FALSE", "NULL AND FALSE", "TRUE = NULL", "TAGS = 'x'", "TAGS IN ('x', 'y')", "DELAY = 1", "a = 5\u0000", "a = '\u0000'", "a = 1\u0001", "\ufeffa = 1", "a\u00a0= 1", "a = '\"\\'", "a = \\", "a = \u007f", "a = \u00ff",
    };

    private Filters() {
    }

    static Vectors record() {
        Vectors vectors = new Vectors();
        List<Map<String, String>> messages = messages();
        for (Map<String, String> message : messages) {
            vectors.add("properties").with("properties", message);
        }
        Set<String> expressions = new LinkedHashSet<>(List.of(WHOLE));
        for (String operator : OPERATORS) {
            for (String constant : CONSTANTS) {
                expressions.add("a " + operator + " " + constant);
                expressions.add(constant + " " + operator + " c");
            }
        }
        Random random = new Random(92);
        for (int i = 0; i < 500; i++) {
            expressions.add(logic(random, 3));
        }
        for (int i = 0; i < 300; i++) {
            expressions.add(broken(random));
        }
        for (String expression : expressions) {
            filter(vectors, expression, messages);
        }
        bloom(vectors);
        kept(vectors);
        return vectors;
    }

    /** The file that keeps filters, {@code config/consumerFilter.json}. */
    private static void kept(Vectors vectors) {
        ConsumerFilterManager manager = new ConsumerFilterManager();
        vectors.add("kept").with("pretty", manager.encode(true));
        manager.register("T", "g", "a > 5", "SQL92", 7);
        manager.register("T", "h", "a = 'it''s' AND b IS NULL", "SQL92", 1700000000000L);
        manager.register("U", "g", "c BETWEEN 1 AND 9", "SQL92", 8);
        manager.unRegister("h");
        for (String topic : List.of("T", "U")) {
            manager.get(topic).forEach(data -> {
                data.setBornTime(System.currentTimeMillis() / 86_400_000 * 86_400_000);
                data.setDeadTime(data.getDeadTime() == 0 ? 0 : data.getBornTime() + 1000);
            });
        }
        // The days since 1970 differ from recording to recording; filters of yesterday would not be kept.
        String today = Long.toString(System.currentTimeMillis() / 86_400_000 * 86_400_000);
        String dead = Long.toString(System.currentTimeMillis() / 86_400_000 * 86_400_000 + 1000);
        vectors.add("kept").with("pretty", manager.encode(true).replace(today, "1700000000000").replace(dead, "1700000001000"));
    }

    /** Texts that Java may or may not take for numbers, and everyday values. */
    private static List<Map<String, String>> messages() {
        List<Map<String, String>> messages = new ArrayList<>();
        messages.add(message());
        String[][] values = {{"5", "abc", "5"}, {"-5", "x", "1.5"}, {"1.5", "10", "3"}, {"true", "TRUE", "false"}, {"\t", " ", "''"}, {"x", "it's", "y"},
            {"2147483648", "-2147483649", "9223372036854775807"}, {"9223372036854775808", "1e3", "1000"}, {" 5", "5 ", "+5"}, {"NaN", "Infinity", "-Infinity"},
            {"0x10", "0x1p4", "0x1.8p0"}, {"5f", "5d", "5L"}, {"-0", "-0.0", "0.0"}, {"\u0665", "\uff15", "\u4e2d\u6587"}, {".5", "5.", "."}, {"1e400", "1e-400", "4.9e-324"},
            {"0x1.fffffffffffff8p1023", "0x1p-1074", "0x.8p-1074"}, {"-NaN", "nan", "inf"}, {"1_000", "1,000", "1e+3"}, {"007", "+", "-"}, {"0x1.00000000000008p0", "0x1.000000000000080000001p0", "0x1p99999999999"},
            {"1e99999999999", "0e99999999999", "1e-99999999999"}};
        for (String[] value : values) {
            messages.add(message("a", value[0], "b", value[1], "c", value[2], "TAGS", "x"));
        }
        StringBuilder digits = new StringBuilder();
        for (char c = 0x80; c < 0xd800; c++) {
            if (Character.digit(c, 10) == 5) {
                messages.add(message("a", String.valueOf(c), "c", "-" + c));
                digits.append(c);
            }
        }
        messages.add(message("a", digits.substring(0, 9), "c", "\ud835\udfd3", "_x", "5", "$y", "1.5"));
        return messages;
    }

    private static Map<String, String> message(String... namesAndValues) {
        Map<String, String> message = new LinkedHashMap<>();
        for (int i = 0; i < namesAndValues.length; i += 2) {
            message.put(namesAndValues[i], namesAndValues[i + 1]);
        }
        return message;
    }

    private static String any(Random random, String[] all) {
        return all[random.nextInt(all.length)];
    }

    private static String operand(Random random) {
        String operand = random.nextInt(3) == 0 ? any(random, CONSTANTS) : any(random, NAMES);
        return random.nextInt(8) == 0 ? "-" + operand : operand;
    }

    private static String text(Random random) {
        return any(random, new String[] {"'5'", "'a'", "'x'", "'abc'", "'it''s'", "'1'", "'\uff15'"});
    }

    private static String condition(Random random) {
        String name = any(random, NAMES);
        String not = random.nextInt(3) == 0 ? " NOT" : "";
        switch (random.nextInt(8)) {
            case 0:
                return name + not + " IN (" + text(random) + ", " + text(random) + ")";
            case 1:
                return operand(random) + not + " BETWEEN " + operand(random) + " AND " + operand(random);
            case 2:
                return name + not + " " + any(random, new String[] {"CONTAINS", "STARTSWITH", "ENDSWITH"}) + " " + text(random);
            case 3:
                return name + " IS" + not + " NULL";
            default:
                return operand(random) + " " + any(random, OPERATORS) + " " + operand(random);
        }
    }

    private static String logic(Random random, int depth) {
        int choice = random.nextInt(depth == 0 ? 1 : 5);
        switch (choice) {
            case 1:
                return logic(random, depth - 1) + " AND " + logic(random, depth - 1);
            case 2:
                return logic(random, depth - 1) + " OR " + logic(random, depth - 1);
            case 3:
                return "(" + logic(random, depth - 1) + ")";
            case 4:
                return "NOT (" + logic(random, depth - 1) + ")";
            default:
                return condition(random);
        }
    }

    /** An expression with a piece cut out, doubled or put in. */
    private static String broken(Random random) {
        String whole = logic(random, 2);
        int from = random.nextInt(whole.length());
        int to = Math.min(whole.length(), from + 1 + random.nextInt(4));
        switch (random.nextInt(3)) {
            case 0:
                return whole.substring(0, from) + whole.substring(to);
            case 1:
                return whole.substring(0, to) + whole.substring(from);
            default:
                return whole.substring(0, from) + any(random, new String[] {" ", "'", "(", ")", "#", ",", " NOT ", " AND ", "+", "\n", "."}) + whole.substring(from);
        }
    }

    private static void filter(Vectors vectors, String text, List<Map<String, String>> messages) {
        Vectors.Vector vector = vectors.add("filter").with("expression", text);
        Expression expression;
        try {
            expression = FilterFactory.INSTANCE.get("SQL92").compile(text);
        } catch (Throwable e) {
            vector.with("error", e.getMessage());
            return;
        }
        StringBuilder letters = new StringBuilder();
        for (Map<String, String> message : messages) {
            letters.append(letter(expression, message));
        }
        vector.with("matches", letters);
    }

    private static char letter(Expression expression, Map<String, String> message) {
        EvaluationContext context = new EvaluationContext() {
            @Override
            public Object get(String name) {
                return message.get(name);
            }

            @Override
            public Map<String, Object> keyValues() {
                return new LinkedHashMap<>(message);
            }
        };
        try {
            Object result = expression.evaluate(context);
            return result == null ? 'N' : (Boolean) result ? 'T' : 'F';
        } catch (Throwable e) {
            return 'X';
        }
    }

    /** Which bits of a Bloom filter stand for a group's subscription to a topic. */
    private static void bloom(Vectors vectors) {
        for (int[] setting : new int[][] {{20, 32}, {20, 64}, {1, 32}, {50, 1}, {99, 7}}) {
            BloomFilter filter = BloomFilter.createByFn(setting[0], setting[1]);
            for (String text : List.of("g#T", "", "%RETRY%g#g", "\u4e2d\u6587#T", "a rather long group name#and a topic with more than 32 bytes")) {
                List<Integer> positions = new ArrayList<>();
                for (int position : filter.generate(text).getBitPos()) {
                    positions.add(position);
                }
                vectors.add("bloom").with("errorRate", setting[0]).with("count", setting[1]).with("text", text)
                    .with("bits", filter.getM()).with("positions", positions);
            }
        }
    }
}
