//! Everyday tools. Each is a module with `run(Invocation) -> ExitCode` and a row in the table of `main.rs`.
