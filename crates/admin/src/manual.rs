//! The manual page `mqadmin(1)`, printed from the declarations of the commands.

use std::fmt::Write as _;

use crate::command::{Command, Run};
use crate::commands;
use crate::commons_cli::{Known, Need};

const HEAD: &str = r#".TH MQADMIN 1 "" "RaptorMQ" "User Commands"
.SH NAME
mqadmin \- administer RocketMQ and RaptorMQ clusters
.SH SYNOPSIS
.B mqadmin
.I COMMAND
.RI [ OPTION ...]
.br
.B mqadmin help
.RI [ COMMAND ]
.br
.B mqadmin completions
.BR bash | zsh | fish
.br
.B mqadmin man
.SH DESCRIPTION
The commands, options and standard output are those of RocketMQ's mqadmin.
.B raptormq admin
is the same program with exit statuses of its own.
.SH OPTIONS OF EVERY COMMAND
.TP
.BR \-n " \fIHOST:PORT;HOST:PORT\fR, " \-\-namesrvAddr
The name servers to ask; else those of \-Drocketmq.namesrv.addr= or NAMESRV_ADDR.
.TP
.BR \-h ", " \-\-help
Show the options of the command.
"#;

const FOOT: &str = r#".SH EXIT STATUS
As mqadmin 0 whatever happens, 1 when the options cannot be read or the command is not there; with \-\-strict\-exit 1 when
something failed. As raptormq admin 0 done, 1 failed, 2 the command line is no use. 130 after Ctrl-C, 143 after SIGTERM.
.SH ENVIRONMENT
.TP
.B NAMESRV_ADDR
The name servers to ask.
.TP
.B MQADMIN_STRICT_EXIT
When it is 1, as with \-\-strict\-exit.
.TP
.B NO_COLOR
When it is set, nothing has a colour.
.TP
.B ROCKETMQ_HOME
Where conf/tools.yml lies, whose accessKey and secretKey requests are signed with.
"#;

/// The page, in the language of `man`.
pub fn manual() -> String {
    let mut page = HEAD.to_owned();
    let extras = [crate::command::JSON, crate::command::WATCH, crate::command::DRY_RUN, crate::command::STRICT];
    page.push_str(".SH OPTIONS OF SOME COMMANDS\n");
    for extra in &extras {
        let value = extra.value.map_or(String::new(), |value| format!(" \\fI{value}\\fR"));
        // Writing to a String cannot fail, here and below.
        let _ = write!(page, ".TP\n\\fB{}\\fR{value}\n{}.\n", escaped(extra.word), escaped(extra.about));
    }
    page.push_str(".SH COMMANDS\n");
    for command in commands::all() {
        append(&mut page, command);
    }
    page.push_str(FOOT);
    page
}

fn append(page: &mut String, command: &Command) {
    let _ = write!(page, ".SS {}\n{}.\n", escaped(command.name), escaped(command.about));
    if let Run::Absent(reason) = command.run {
        let _ = writeln!(page, "Not there yet: {}.", escaped(reason));
    }
    let ours: Vec<_> = command.kind.extras().iter().map(|extra| format!("\\fB{}\\fR", escaped(extra.word))).collect();
    let _ = writeln!(page, "Also: {}.", ours.join(", "));
    for option in command.known().iter().filter(|option| !matches!(option.key(), "h" | "n")) {
        append_option(page, option);
    }
}

fn append_option(page: &mut String, option: &Known) {
    let value = if option.takes_value { format!(" \\fI{}\\fR", option.value_name) } else { String::new() };
    let long = format!("\\fB\\-\\-{}\\fR", escaped(option.long.trim_end()));
    let names = match option.short.as_str() {
        "" => format!("{long}{value}"),
        short => format!("\\fB\\-{}\\fR{value}, {long}", escaped(short)),
    };
    let need = match option.need {
        Need::Optional => "",
        Need::Required => " Required.",
        Need::OneOf(0) => " One of these is required.",
        Need::OneOf(_) => " One of these is required, too.",
    };
    let _ = write!(page, ".TP\n{names}\n{}.{need}\n", escaped(&option.about));
}

/// A text that means nothing to `man`: no backslashes, no hyphens that may be broken, no dot in front of a line.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_and_option_is_on_the_page() {
        let page = manual();
        assert_eq!(page.matches(".SS ").count(), commands::all().count());
        assert!(page.contains(".SS topicRoute\nShow which brokers serve a topic.\n"), "{page}");
        assert!(page.contains(".TP\n\\fB\\-t\\fR \\fIVALUE\\fR, \\fB\\-\\-topic\\fR\nName of the topic. Required.\n"));
        for command in commands::all() {
            let from = page.find(&format!(".SS {}\n", command.name)).unwrap();
            let part = page[from + 1..].split("\n.S").next().unwrap();
            for option in command.known().iter().filter(|option| !matches!(option.key(), "h" | "n")) {
                let long = format!("\\fB\\-\\-{}\\fR", escaped(option.long.trim_end()));
                assert!(part.contains(&long), "{} {long}", command.name);
            }
            for extra in command.kind.extras() {
                assert!(part.contains(&format!("\\fB{}\\fR", escaped(extra.word))), "{}: {}", command.name, extra.word);
            }
        }
        for line in page.lines().filter(|line| line.starts_with('.')) {
            let request = line.split(' ').next().unwrap();
            assert!([".TH", ".SH", ".SS", ".TP", ".B", ".BR", ".I", ".RI", ".br"].contains(&request), "{line}");
        }
    }
}
