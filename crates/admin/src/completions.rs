//! What shells need to complete command lines of `mqadmin`, printed from the declarations of the commands.

use std::fmt::Write as _;

use crate::command::{Command, Extra};
use crate::commands;
use crate::commons_cli::Known;

/// A shell that can be told how to complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shell {
    /// bash; `mqadmin` and `raptormq admin`.
    Bash,
    /// zsh; `mqadmin`.
    Zsh,
    /// fish; `mqadmin`.
    Fish,
}

impl Shell {
    /// All of them, by their names.
    pub const ALL: [(&'static str, Shell); 3] = [("bash", Shell::Bash), ("zsh", Shell::Zsh), ("fish", Shell::Fish)];

    /// The shell of that name.
    pub fn find(name: &str) -> Option<Shell> {
        Shell::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, shell)| shell)
    }
}

/// The script that tells a shell how to complete.
pub fn completions(shell: Shell) -> String {
    match shell {
        Shell::Bash => bash(),
        Shell::Zsh => zsh(),
        Shell::Fish => fish(),
    }
}

/// An option as shells see it.
struct Choice {
    /// Without the dash; empty when there is none.
    short: String,
    /// Without the dashes; empty when it cannot be typed without quotes.
    long: String,
    value: Option<String>,
    about: String,
}

impl Choice {
    fn of(option: Known) -> Choice {
        // Some of the original's names end in a blank that may be left out; some have blanks within.
        let long = option.long.trim_end();
        let long = if long.contains(' ') { String::new() } else { long.to_owned() };
        let value = option.takes_value.then(|| option.value_name.to_owned());
        Choice { short: option.short, long, value, about: option.about }
    }

    fn of_ours(extra: &Extra) -> Choice {
        let long = extra.word.trim_start_matches('-').to_owned();
        let value = extra.value.map(str::to_owned);
        Choice { short: String::new(), long, value, about: extra.about.to_owned() }
    }

    /// As they are typed.
    fn words(&self) -> impl Iterator<Item = String> {
        let words = [("-", &self.short), ("--", &self.long)];
        words.into_iter().filter(|(_, name)| !name.is_empty()).map(|(dash, name)| format!("{dash}{name}"))
    }
}

fn choices(command: &Command) -> Vec<Choice> {
    let ours = command.kind.extras().iter().map(Choice::of_ours);
    command.known().into_iter().map(Choice::of).chain(ours).collect()
}

fn bash() -> String {
    let names: Vec<&str> = commands::all().map(|command| command.name).collect();
    let mut text = format!(
        r#"# Completion of mqadmin and raptormq admin in bash: source this file.
_mqadmin() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} at=1 options=
    COMPREPLY=()
    if [ "${{COMP_WORDS[0]##*/}}" = raptormq ]; then
        [ "${{COMP_WORDS[1]}}" = admin ] || return
        at=2
    fi
    if [ "$COMP_CWORD" -eq "$at" ]; then
        COMPREPLY=($(compgen -W "help {}" -- "$word"))
        return
    fi
    case ${{COMP_WORDS[at]}} in
        help) options="{}" ;;
"#,
        names.join(" "),
        names.join(" ")
    );
    for command in commands::all() {
        let words: Vec<String> =
            choices(command).iter().flat_map(|choice| choice.words().collect::<Vec<_>>()).collect();
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(text, "        {}) options=\"{}\" ;;", command.name, words.join(" "));
    }
    text.push_str(
        "    esac\n    COMPREPLY=($(compgen -W \"$options\" -- \"$word\"))\n}\ncomplete -o default -F _mqadmin mqadmin raptormq\n",
    );
    text
}

fn zsh() -> String {
    let mut text = String::from(
        "#compdef mqadmin\n# Completion of mqadmin in zsh: put this file as _mqadmin into a folder of $fpath, or source it.\n\
         _mqadmin() {\n    local -a names\n    names=(\n        'help:Show the options of a command'\n",
    );
    for command in commands::all() {
        let _ = writeln!(text, "        '{}:{}'", command.name, quoted(command.about));
    }
    text.push_str(
        "    )\n    if (( CURRENT == 2 )); then\n        _describe command names\n        return\n    fi\n    \
         local name=$words[2]\n    shift words\n    (( CURRENT-- ))\n    case $name in\n        help) _describe command names ;;\n",
    );
    for command in commands::all() {
        let _ = write!(text, "        {}) _arguments", command.name);
        for choice in choices(command) {
            let about = quoted(&choice.about).replace('\\', "\\\\").replace('[', "\\[").replace(']', "\\]");
            let value = choice.value.as_ref().map_or(String::new(), |value| format!(":{value}:_default"));
            for word in choice.words() {
                let _ = write!(text, " \\\n            '{word}[{about}]{value}'");
            }
        }
        text.push_str(" ;;\n");
    }
    text.push_str("    esac\n}\nif [ \"$funcstack[1]\" = _mqadmin ]; then\n    _mqadmin \"$@\"\nelse\n    compdef _mqadmin mqadmin\nfi\n");
    text
}

fn fish() -> String {
    let mut text = String::from("# Completion of mqadmin in fish: put this file into ~/.config/fish/completions.\n");
    let _ =
        writeln!(text, "complete -c mqadmin -f -n __fish_use_subcommand -a help -d 'Show the options of a command'");
    for command in commands::all() {
        let (name, about) = (command.name, quoted(command.about));
        let _ = writeln!(text, "complete -c mqadmin -f -n __fish_use_subcommand -a {name} -d '{about}'");
        for choice in choices(command) {
            let _ = write!(text, "complete -c mqadmin -n '__fish_seen_subcommand_from {name}'");
            match choice.short.chars().count() {
                0 => {}
                1 => drop(write!(text, " -s {}", choice.short)),
                // Several letters behind one dash.
                _ => drop(write!(text, " -o {}", choice.short)),
            }
            if !choice.long.is_empty() {
                let _ = write!(text, " -l {}", choice.long);
            }
            let value = if choice.value.is_some() { " -r" } else { "" };
            let _ = writeln!(text, "{value} -d '{}'", quoted(&choice.about));
        }
    }
    text
}

/// A text that may stand between single quotes: they are written as typographic ones, which all shells take for letters.
fn quoted(text: &str) -> String {
    text.replace('\'', "’")
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    /// What bash offers for a command line whose last word is to be completed.
    fn offered(line: &str) -> Vec<String> {
        let words: Vec<String> = line.split(' ').map(|word| format!("'{word}'")).collect();
        let script = format!(
            "{}\nCOMP_WORDS=({})\nCOMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\n_mqadmin\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"",
            bash(),
            words.join(" ")
        );
        let output = Command::new("bash").args(["-c", &script]).stderr(Stdio::inherit()).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap().split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn bash_completes_commands_and_their_options() {
        assert_eq!(offered("mqadmin topicL"), ["topicList"]);
        assert_eq!(offered("mqadmin help brokerC"), ["brokerConsumeStats"]);
        assert_eq!(offered("raptormq admin haS"), ["haStatus"]);
        assert!(offered("raptormq bro").is_empty());
        assert_eq!(
            offered("mqadmin deleteTopic -t x --"),
            ["--help", "--namesrvAddr", "--topic", "--clusterName", "--dry-run", "--strict-exit"]
        );
        assert_eq!(offered("/bin/mqadmin printMsg --begin"), ["--beginTimestamp"]);
    }

    /// Whether a shell can read a script; nothing when there is no such shell here.
    fn can_read(shell: &str, script: &str) -> Option<bool> {
        let file = std::env::temp_dir().join(format!("raptormq-completions-{}.{shell}", std::process::id()));
        std::fs::write(&file, script).unwrap();
        let outcome = Command::new(shell).arg("-n").arg(&file).status();
        std::fs::remove_file(&file).unwrap();
        Some(outcome.ok()?.success())
    }

    /// What a shell's script says of one command.
    fn part<'s>(script: &'s str, begin: &str, end: &str) -> &'s str {
        let from = script.find(begin).unwrap_or_else(|| panic!("there is no {begin:?}"));
        let part = &script[from..];
        part.find(end).map_or(part, |to| &part[..to])
    }

    #[test]
    fn every_command_and_every_option_is_in_each_script() {
        let (bash, zsh, fish) = (bash(), zsh(), fish());
        for command in commands::all() {
            let name = command.name;
            let in_bash = part(&bash, &format!("\n        {name}) options="), ";;");
            let in_zsh = part(&zsh, &format!("\n        {name}) _arguments"), ";;");
            let seen = format!("'__fish_seen_subcommand_from {name}'");
            let in_fish: Vec<&str> = fish.lines().filter(|line| line.contains(&seen)).collect();
            for choice in choices(command) {
                for word in choice.words() {
                    assert!(
                        in_bash.contains(&format!("{word} ")) || in_bash.contains(&format!("{word}\"")),
                        "{name} {word}"
                    );
                    assert!(in_zsh.contains(&format!("'{word}[")), "{name} {word}");
                    let letters = word.trim_start_matches('-');
                    let forms = ["-s", "-o", "-l"].map(|form| format!(" {form} {letters} "));
                    assert!(in_fish.iter().any(|line| forms.iter().any(|form| line.contains(form))), "{name} {word}");
                }
            }
        }
    }

    #[test]
    fn every_shell_can_read_its_script() {
        for (name, shell) in Shell::ALL {
            assert_eq!(Shell::find(name), Some(shell));
            assert_ne!(can_read(name, &completions(shell)), Some(false), "{name}");
            assert!(completions(shell).contains("topicList"));
        }
    }
}
