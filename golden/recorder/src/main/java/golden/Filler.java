package golden;

import java.lang.reflect.Constructor;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Makes instances whose every field has a value of its own that is not the default: who reads and writes one and gets
 * the same bytes has forgotten no field. Collections get one element, because Java leaves the order of more to chance.
 */
final class Filler {
    private Filler() {
    }

    static <T> T fill(Class<T> type) throws ReflectiveOperationException {
        return type.cast(value(type, type.getSimpleName()));
    }

    private static Object value(Type type, String name) throws ReflectiveOperationException {
        if (type instanceof ParameterizedType generic) {
            return collection((Class<?>) generic.getRawType(), generic.getActualTypeArguments(), name);
        }
        if (!(type instanceof Class<?> plain)) {
            return null;
        }
        int number = Math.floorMod(name.hashCode(), 9000) + 1000;
        if (plain == String.class) {
            return name + "-\u00e9";
        } else if (plain == int.class || plain == Integer.class) {
            return number;
        } else if (plain == long.class || plain == Long.class) {
            return number + (1L << 40);
        } else if (plain == AtomicLong.class) {
            return new AtomicLong(number + (1L << 40));
        } else if (plain == double.class || plain == Double.class) {
            return number + 0.25;
        } else if (plain == boolean.class || plain == Boolean.class) {
            return true;
        } else if (plain.isEnum()) {
            Object[] constants = plain.getEnumConstants();
            return constants[constants.length - 1];
        } else if (plain == Properties.class) {
            Properties properties = new Properties();
            properties.setProperty(name + "Key", name + "Value");
            return properties;
        } else if (plain.getName().startsWith("java.") || Modifier.isAbstract(plain.getModifiers())) {
            return null;
        }
        return object(plain);
    }

    private static Object object(Class<?> type) throws ReflectiveOperationException {
        Constructor<?> constructor = type.getDeclaredConstructors()[0];
        for (Constructor<?> other : type.getDeclaredConstructors()) {
            if (other.getParameterCount() < constructor.getParameterCount()) {
                constructor = other;
            }
        }
        constructor.setAccessible(true);
        Object[] arguments = new Object[constructor.getParameterCount()];
        for (int i = 0; i < arguments.length; i++) {
            arguments[i] = value(constructor.getGenericParameterTypes()[i], "argument" + i);
        }
        Object object = constructor.newInstance(arguments);
        for (Class<?> part = type; part != Object.class; part = part.getSuperclass()) {
            for (Field field : part.getDeclaredFields()) {
                if (!Modifier.isStatic(field.getModifiers()) && !Modifier.isFinal(field.getModifiers())) {
                    field.setAccessible(true);
                    Object value = value(field.getGenericType(), field.getName());
                    if (value != null) {
                        field.set(object, value);
                    }
                }
            }
        }
        return object;
    }

    private static Object collection(Class<?> type, Type[] arguments, String name) throws ReflectiveOperationException {
        if (Map.class.isAssignableFrom(type)) {
            Map<Object, Object> map;
            if (type == TreeMap.class) {
                map = new TreeMap<>();
            } else if (type == ConcurrentMap.class || type == ConcurrentHashMap.class) {
                map = new ConcurrentHashMap<>();
            } else {
                map = new HashMap<>();
            }
            map.put(value(arguments[0], name + "Key"), value(arguments[1], name + "Value"));
            return map;
        }
        if (Collection.class.isAssignableFrom(type)) {
            Collection<Object> list;
            if (type == List.class) {
                list = new ArrayList<>();
            } else if (type == TreeSet.class) {
                list = new TreeSet<>();
            } else if (type == Set.class || type == HashSet.class) {
                list = new HashSet<>();
            } else {
                throw new ReflectiveOperationException("no element for " + type);
            }
            list.add(value(arguments[0], name + "Element"));
            return list;
        }
        return null;
    }
}
