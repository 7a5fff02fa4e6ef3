package golden;

import java.nio.file.Path;

/** Records every group of vectors into the folder that is given. */
public final class Main {
    public static void main(String[] args) throws Exception {
        Path folder = Path.of(args[0]);
        Commands.record().write(folder.resolve("commands.json"));
        Bodies.record().write(folder.resolve("bodies.json"));
        Texts.record().write(folder.resolve("texts.json"));
        Allocations.record().write(folder.resolve("allocations.json"));
        Filters.record().write(folder.resolve("filters.json"));
        Messages.record().write(folder.resolve("messages.json"));
        Stores.record().write(folder.resolve("stores.json"));
        CommandLines.record().write(folder.resolve("mqadmin.json"));
        // Some of Java's threads are no daemons.
        System.exit(0);
    }
}
