import java.io.ByteArrayInputStream;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.Properties;
import java.util.Random;
import java.util.TreeMap;

/**
 * Writes what java.util.Properties reads from texts made at random: a line each, the text in hexadecimal digits, then key
 * and value of every entry in the same way (UTF-16, sorted by key), or "refused".
 * Run: java Record.java > recorded.tsv
 */
public class Record {
    private static final String[] PIECES = {
        "a", "b", "key", "=", ":", " ", "\t", "\f", "\\", "\\\\", "\n", "\r", "\r\n", "\\\n", "\\\r\n", "#", "!", "\\u0041",
        "\\u00", "\\t", "\\n", "\\ ", "\\=", "\\:", "\u00e9", "\\uD83D\\uDE00", "\u0000", "u",
    };

    public static void main(String[] args) throws Exception {
        Random random = new Random(5);
        HexFormat hex = HexFormat.of();
        for (int number = 0; number < 1000; number++) {
            StringBuilder text = new StringBuilder();
            for (int piece = random.nextInt(14); piece >= 0; piece--) {
                text.append(PIECES[random.nextInt(PIECES.length)]);
            }
            byte[] bytes = text.toString().getBytes(StandardCharsets.ISO_8859_1);
            StringBuilder line = new StringBuilder(hex.formatHex(bytes));
            try {
                Properties properties = new Properties();
                properties.load(new ByteArrayInputStream(bytes));
                new TreeMap<>(properties).forEach((key, value) -> {
                    for (Object side : new Object[] {key, value}) {
                        line.append('\t').append(hex.formatHex(side.toString().getBytes(StandardCharsets.UTF_16BE)));
                    }
                });
            } catch (IllegalArgumentException refused) {
                line.append("\trefused");
            }
            System.out.println(line);
        }
    }
}
