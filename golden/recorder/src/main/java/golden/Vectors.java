package golden;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A file of vectors: a JSON list with one object a line. It is written by hand, so that nothing here depends on the JSON
 * library whose output is recorded.
 */
final class Vectors {
    private final List<Map<String, Object>> vectors = new ArrayList<>();

    /** Adds a vector and returns it for its further fields. */
    Vector add(String name) {
        Vector vector = new Vector();
        vector.with("name", name);
        vectors.add(vector.fields);
        return vector;
    }

    void write(Path file) throws IOException {
        StringBuilder text = new StringBuilder("[\n");
        for (int i = 0; i < vectors.size(); i++) {
            print(vectors.get(i), text);
            text.append(i + 1 < vectors.size() ? ",\n" : "\n");
        }
        Files.writeString(file, text.append("]\n"), StandardCharsets.UTF_8);
        System.out.println(file + ": " + vectors.size() + " vectors");
    }

    static String hex(byte[] bytes) {
        StringBuilder text = new StringBuilder(bytes.length * 2);
        for (byte b : bytes) {
            text.append(Character.forDigit(b >> 4 & 15, 16)).append(Character.forDigit(b & 15, 16));
        }
        return text.toString();
    }

    private static void print(Object value, StringBuilder out) {
        if (value instanceof Map<?, ?> map) {
            String separator = "{";
            for (Map.Entry<?, ?> entry : map.entrySet()) {
                out.append(separator);
                print(String.valueOf(entry.getKey()), out);
                out.append(": ");
                print(entry.getValue(), out);
                separator = ", ";
            }
            out.append(map.isEmpty() ? "{}" : "}");
        } else if (value instanceof Iterable<?> list) {
            String separator = "[";
            boolean isEmpty = true;
            for (Object element : list) {
                out.append(separator);
                print(element, out);
                separator = ", ";
                isEmpty = false;
            }
            out.append(isEmpty ? "[]" : "]");
        } else if (value instanceof byte[] bytes) {
            print(hex(bytes), out);
        } else if (value == null || value instanceof Number || value instanceof Boolean) {
            out.append(value);
        } else {
            out.append('"');
            for (char c : value.toString().toCharArray()) {
                if (c == '"' || c == '\\') {
                    out.append('\\').append(c);
                } else if (c < ' ' || c > '~') {
                    out.append(String.format("\\u%04x", (int) c));
                } else {
                    out.append(c);
                }
            }
            out.append('"');
        }
    }

    /** One vector: named fields in the order in which they are given. */
    static final class Vector {
        private final Map<String, Object> fields = new LinkedHashMap<>();

        Vector with(String field, Object value) {
            fields.put(field, value);
            return this;
        }
    }
}
