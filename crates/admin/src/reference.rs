//! The page of all commands, printed from their declarations.

use std::fmt::Write as _;

use crate::command::{Command, Run};
use crate::commands;
use crate::commons_cli::{Known, Need};

/// All commands with their options, in Markdown.
pub fn reference() -> String {
    let mut page = String::new();
    for command in commands::all() {
        // Writing to a String cannot fail.
        let _ = write!(page, "### {}\n\n{}.", command.name, command.about);
        if let Run::Absent(reason) = command.run {
            let _ = write!(page, " **Not there yet**: {reason}.");
        } else if commands::is_old(command) {
            page.push_str(" An old name: Java 5.x does not list it any more.");
        }
        page.push_str("\n\n");
        append_options(&mut page, command);
    }
    page
}

fn append_options(page: &mut String, command: &Command) {
    let own: Vec<Known> = command.known().into_iter().filter(|option| !matches!(option.key(), "h" | "n")).collect();
    if own.is_empty() {
        return;
    }
    page.push_str("| option | |\n|---|---|\n");
    for option in own {
        let value = if option.takes_value { " VALUE" } else { "" };
        let short = if option.short.is_empty() { String::new() } else { format!("`-{}{value}`, ", option.short) };
        let need = match option.need {
            Need::Optional => "",
            Need::Required => " **required**",
            Need::OneOf => " **one of these**",
        };
        let about = option.about.replace('|', "\\|");
        let _ = writeln!(page, "| {short}`--{}`{need} | {about} |", option.long.trim_end());
    }
    page.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_there_with_its_options() {
        let page = reference();
        assert!(page.contains("### topicRoute\n\nShow which brokers serve a topic.\n\n| option | |"));
        assert!(page.contains("| `-t VALUE`, `--topic` **required** | Name of the topic |"));
        assert_eq!(page.matches("### ").count(), commands::all().count());
    }
}
