//! The page of all commands, printed from their declarations.

use std::fmt::Write as _;

use crate::command::{Command, Run};
use crate::commands;
use crate::commons_cli::{Known, Need};

/// The names of the commands that there are, without those that only say what is missing.
pub fn working_commands() -> Vec<&'static str> {
    let working = commands::all().filter(|command| matches!(command.run, Run::By(_)));
    working.map(|command| command.name).collect()
}

/// All commands with their options, in Markdown; `example` knows what a command prints, its call in the first line.
pub fn reference(example: impl Fn(&str) -> Option<String>) -> String {
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
        if let Some(example) = example(command.name) {
            let _ = write!(page, "```console\n{}\n```\n\n", example.trim_end());
        }
    }
    page
}

/// The commands that only say what is missing, and what that is, in Markdown.
pub fn absent_commands() -> String {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for command in commands::all() {
        let Run::Absent(reason) = command.run else { continue };
        match reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, names)) => names.push(command.name),
            None => reasons.push((reason, vec![command.name])),
        }
    }
    let rows = reasons.iter().map(|(reason, names)| format!("| {} | {reason} |\n", names.join(" ")));
    format!("| commands | |\n|---|---|\n{}", rows.collect::<String>())
}

fn append_options(page: &mut String, command: &Command) {
    let own: Vec<Known> = command.known().into_iter().filter(|option| !matches!(option.key(), "h" | "n")).collect();
    if own.is_empty() {
        return;
    }
    page.push_str("| option | |\n|---|---|\n");
    for option in own {
        let value = if option.takes_value { format!(" {}", option.value_name) } else { String::new() };
        let short = if option.short.is_empty() { String::new() } else { format!("`-{}{value}`, ", option.short) };
        let need = match option.need {
            Need::Optional => "",
            Need::Required => " **required**",
            Need::OneOf(0) => " **one of these**",
            Need::OneOf(_) => " **and one of these**",
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
        let page = reference(|name| (name == "topicRoute").then(|| "$ mqadmin topicRoute\n".to_owned()));
        assert!(page.contains("```console\n$ mqadmin topicRoute\n```\n\n### "));
        assert!(page.contains("### topicRoute\n\nShow which brokers serve a topic.\n\n| option | |"));
        assert!(page.contains("| `-t VALUE`, `--topic` **required** | Name of the topic |"));
        assert_eq!(page.matches("### ").count(), commands::all().count());
    }

    #[test]
    fn what_is_not_there_is_listed_with_its_reason() {
        let listed = absent_commands();
        assert!(
            listed.contains("| addBroker removeBroker | RaptorMQ does not have broker containers yet |\n"),
            "{listed}"
        );
        let names = listed.lines().skip(2).flat_map(|row| row.split('|').nth(1).unwrap().split_whitespace());
        assert_eq!(names.count() + working_commands().len(), commands::all().count());
    }
}
