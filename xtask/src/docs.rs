//! Prints the pages that come from declarations: they are never edited by hand.

use std::path::Path;

use anyhow::Context as _;
use raptormq_config::{
    AuthConfig, BrokerConfig, ClientNetConfig, Environment, Family, Key, NamesrvConfig, ServerConfig, StoreConfig,
    TlsConfig,
};

/// A generated page.
struct Page {
    /// Where it lies, from the workspace's folder.
    path: &'static str,
    print: fn() -> String,
}

const PAGES: &[Page] =
    &[Page { path: "docs/config.md", print: config_page }, Page { path: "docs/mqadmin.md", print: mqadmin_page }];

/// Writes every generated page below `root`.
pub(crate) fn write(root: &Path) -> anyhow::Result<()> {
    for Page { path, print } in PAGES {
        std::fs::write(root.join(path), print()).with_context(|| format!("cannot write {path}"))?;
        println!("wrote {path}");
    }
    Ok(())
}

/// Fails when a page below `root` is not what would be printed.
pub(crate) fn check(root: &Path) -> anyhow::Result<()> {
    for Page { path, print } in PAGES {
        let there = std::fs::read_to_string(root.join(path)).with_context(|| format!("cannot read {path}"))?;
        anyhow::ensure!(there == print(), "{path} is not what the declarations say: run `cargo xtask docs`");
    }
    Ok(())
}

const MQADMIN_INTRODUCTION: &str = "\
# mqadmin

<!-- Printed by `cargo xtask docs` from crates/admin and golden/mqadmin/differences.tsv: change it there. -->

`distribution/bin/mqadmin COMMAND …` is RocketMQ's `mqadmin`: the same commands, options and standard output, column by
column, so that scripts go on working; a command takes some milliseconds instead of three seconds. `raptormq admin
COMMAND …` is the same program under its own name. It works with RaptorMQ and with Java clusters, and Java's `mqadmin`
works with RaptorMQ.

```console
$ mqadmin updateTopic -c DefaultCluster -t Orders -r 8 -w 8 -n 127.0.0.1:9876
create topic to 127.0.0.1:10911 success.
TopicConfig [topicName=Orders, readQueueNums=8, writeQueueNums=8, perm=RW-, topicFilterType=SINGLE_TAG, topicSysFlag=0, order=false, attributes={}]
$ mqadmin topicRoute -t Ordres -n 127.0.0.1:9876
mqadmin topicRoute: No topic route info in name server for the topic: Ordres; topicList shows the topics that there are
```

- `mqadmin` alone lists the commands, `mqadmin help COMMAND` and `mqadmin COMMAND -h` show the options of one. Names of
  commands may be written in upper or lower case.
- Every command has `-n HOST:PORT;HOST:PORT`, the name servers to ask. Without it they are taken from
  `-Drocketmq.namesrv.addr=` or `NAMESRV_ADDR`. Commands that name a broker with `-b HOST:PORT` and nothing else need none.
- Options may be written as in the original: `-nADDR`, `-n=ADDR`, `-namesrvAddr ADDR`, `--namesrvAddr=ADDR`, beginnings of long
  names, flags in one word; `golden/vectors/mqadmin.json` has what Java's makes of odd and wrong lines, and ours makes the same
  of them. Other than there, `-h` beside options that are missing shows the options instead of complaining.
- Standard error has one line for what failed: the cause, the address or name concerned, and what to do; what fails again and
  again is said once. Every request has a time-out, 5 s unless said otherwise, and who did not answer in time is not asked
  again by the same command.
- Exit status: as `mqadmin` that of the original, 0 whatever happens, 1 when options cannot be read or a command is not
  there yet; with `--strict-exit` anywhere in the line, or `MQADMIN_STRICT_EXIT=1` in the environment, 1 when something
  failed. As `raptormq admin` 0 done, 1 failed, 2 the command line is no use.
- Bodies of messages that are shown are written to `/tmp/rocketmq/msgbodys/ID`, as by the original; here they are readable
  for their user only.
- Where `conf/tools.yml` in `ROCKETMQ_HOME` names an `accessKey` and a `secretKey`, requests are signed with them.

## Options of ours

They may stand anywhere in the line. Without them everything is as in the original.

| option | of which commands | |
|---|---|---|
| `--json` | that show or send something | a JSON object a line instead of columns, for `jq` and the like; names are RocketMQ's, times are milliseconds since 1970 |
| `--watch SECONDS` | that show something | shows it again every so many seconds, until Ctrl-C; a terminal is emptied first: `consumerProgress -g GROUP --watch 5`. The original has `-i` for that with some commands, which works, too |
| `--dry-run` | that change something | asks what must be asked and changes nothing; a line `would …` for each change |
| `--strict-exit` | all | as `mqadmin`, too, exit with 1 when something failed |

`mqadmin completions bash` (`zsh`, `fish`) prints what the shell needs to complete commands and options, `mqadmin man` the
manual page; `raptormq dist DIR` writes all of them to `DIR/share`.

Commands that take long hold one answer at a time and say on a terminal how far they are, when standard output goes
elsewhere. Ctrl-C ends each of them with what was printed so far; the exit status then is 130, after SIGTERM 143. Colours
are on standard error only, on a terminal only, and not where `NO_COLOR` is set.

## What differs from Java's output, and why

Everything else of the recorded lines is the same: `.ci/interop` compares our `mqadmin` and Java's on RaptorMQ with what
Java's printed on a Java cluster, `cargo xtask mqadmin` our `mqadmin` on a Java cluster, too. *ours*: our `mqadmin`; *java*:
Java's `mqadmin` 5.3.3 on RaptorMQ; *java4*: that of 4.9.8; *abroad*: our `mqadmin` on a Java cluster. A line with ~ differs in
nothing but blanks and the order of what has none.

";

/// Lines of the recorded outputs that differ on purpose: whose `mqadmin`, which lines, why.
const MQADMIN_DIFFERENCES: &str = include_str!("../../golden/mqadmin/differences.tsv");

/// Where the outputs of all commands are, as a test of crates/admin compares them.
const SNAPSHOTS: &str = "crates/admin/tests/snapshots";

/// What a command prints: its snapshot without what insta writes in front.
fn example(command: &str) -> Option<String> {
    let path = crate::root().join(SNAPSHOTS).join(format!("snapshots__{command}.snap"));
    let text = std::fs::read_to_string(path).ok()?;
    text.splitn(3, "---\n").nth(2).map(str::to_owned)
}

fn mqadmin_page() -> String {
    let mut page = MQADMIN_INTRODUCTION.to_owned();
    page.push_str("| mqadmin | lines | why |\n|---|---|---|\n");
    for row in MQADMIN_DIFFERENCES.lines().filter(|row| !row.starts_with('#')) {
        let columns: Vec<&str> = row.split('\t').collect();
        if let [whose, lines, why] = columns.as_slice() {
            page.push_str(&format!("| {whose} | {lines} | {why} |\n"));
        }
    }
    page.push_str("\n## Commands that are not there yet\n\n");
    page.push_str("They know their options, say in one line what is missing, and exit with 1 under both names.\n\n");
    page.push_str(&raptormq_admin::absent_commands());
    page.push_str("\n## Commands\n\n");
    page.push_str(&raptormq_admin::reference(example));
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

const CONFIG_INTRODUCTION: &str = "\
# Configuration keys

<!-- Printed by `cargo xtask docs` from crates/config: change it there. -->

Files are in `java.util.Properties` syntax, as RocketMQ's: `key=value` lines, `#` and `!` comments on lines of their own,
backslashes doubled. `mqbroker -c FILE` reads the keys of broker, server, client, store, TLS and auth from one file,
`mqnamesrv -c FILE` those of name server, server, client and TLS. `-p` prints every key with its value, `-m` those marked
**important**.

- A key that is not here is ignored, and named in a warning with the nearest real one.
- A value that its key does not take keeps the process from starting; the message names file, line and key.
- **dynamic**: a change over the wire (`updateBrokerConfig`, `updateNamesrvConfig`) takes effect at once; other keys
  need a restart. **fixed**: never changed over the wire.
- **no effect**: accepted so that files written for RocketMQ work, and without effect in this version.
- **own**: a key of RaptorMQ that RocketMQ does not know.

Defaults that depend on the machine are shown for two processors, `${user.home}` is the user's home folder, `${host}` the
host name, `${ip}` the first address that is not loopback. A name server's `listenPort` is 9876.

| Setting outside of files | Meaning |
|---|---|
| `NAMESRV_ADDR`, `-Drocketmq.namesrv.addr=` | default of `namesrvAddr` |
| `ROCKETMQ_HOME`, `-Drocketmq.home.dir=` | default of `rocketmqHome`; never required |
| `-Duser.home=` | the folder that `${user.home}` stands for, instead of the user's |
| `-Dtls.KEY=` | keys of TLS, as the original takes them; the config file overrides them, and the file of `tls.config.file` both |
| `ROCKETMQ_LOG_LEVEL` | `error`, `warn`, `info`, `debug`, or by crate: `raptormq_store=debug,info` |
| `ROCKETMQ_LOG_STDOUT=true` | log to stdout instead of `~/logs/rocketmqlogs/ROLE.log` |

A role ends with status 0 after SIGTERM or Ctrl-C (RocketMQ's JVM ends with 143), so that service managers see a clean
end.
";

fn config_page() -> String {
    let environment = Environment::example();
    let mut page = CONFIG_INTRODUCTION.to_owned();
    family(&mut page, "Broker", &BrokerConfig::new(&environment));
    family(&mut page, "Server: listening and connections", &ServerConfig::new(&environment));
    family(&mut page, "Client: connections to others", &ClientNetConfig::new(&environment));
    family(&mut page, "Store", &StoreConfig::new(&environment));
    family(&mut page, "Name server", &NamesrvConfig::new(&environment));
    family(&mut page, "TLS", &TlsConfig::new(&environment));
    family(&mut page, "Users and rights", &AuthConfig::new(&environment));
    page
}

fn family<F: Family>(page: &mut String, title: &str, defaults: &F) {
    page.push_str(&format!("\n## {title}\n\n`{}`\n\n| Key | Type | Default | Meaning |\n|---|---|---|---|\n", F::NAME));
    let (working, idle): (Vec<&Key>, Vec<&Key>) = F::KEYS.iter().partition(|key| !key.flags.is_no_effect);
    for key in working.into_iter().chain(idle) {
        let default = match defaults.get(key.name).unwrap_or_default() {
            empty if empty.is_empty() => String::new(),
            text => format!("`{text}`"),
        };
        let marks: String = marks(key).into_iter().map(|mark| format!(" **{mark}**")).collect();
        page.push_str(&format!("| `{}` | {} | {default} | {}{marks} |\n", key.name, key.kind, key.doc.trim()));
    }
}

fn marks(key: &Key) -> Vec<&'static str> {
    let all = [
        (key.flags.is_own, "own"),
        (key.flags.is_important, "important"),
        (key.flags.is_dynamic && !key.flags.is_no_effect, "dynamic"),
        (key.flags.is_fixed, "fixed"),
        (key.flags.is_no_effect, "no effect"),
    ];
    all.into_iter().filter_map(|(is_set, mark)| is_set.then_some(mark)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generated_pages_are_fresh() {
        check(crate::root()).unwrap();
    }

    /// The text of every Rust file below a folder, config's families and tests left out.
    fn sources(folder: &Path, text: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let is_left_out = ["tests", "benches", "examples"].iter().any(|name| path.ends_with(name));
            if path.is_dir() && !is_left_out {
                sources(&path, text);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let source = std::fs::read_to_string(&path).unwrap();
                text.push_str(source.split("#[cfg(test)]\nmod tests").next().unwrap());
            }
        }
    }

    fn unread<F: Family>(text: &str) -> Vec<&'static str> {
        let told = F::KEYS.iter().filter(|key| !key.flags.is_no_effect && key.name != "rocketmqHome");
        let is_read = |field: &str| {
            let follows = |at: usize| text[at + field.len() + 1..].chars().next();
            let mut places = text.match_indices(&format!(".{field}")).map(|(at, _)| at).collect::<Vec<_>>().into_iter();
            places.any(|at| !follows(at).is_some_and(|next| next.is_alphanumeric() || next == '_'))
        };
        told.filter(|key| !is_read(key.field)).map(|key| key.name).collect()
    }

    #[test]
    fn keys_that_nothing_reads_are_marked_as_without_effect() {
        let mut text = String::new();
        sources(&crate::root().join("crates"), &mut text);
        let families: [fn(&str) -> Vec<&'static str>; 6] = [
            unread::<BrokerConfig>,
            unread::<StoreConfig>,
            unread::<ServerConfig>,
            unread::<ClientNetConfig>,
            unread::<NamesrvConfig>,
            unread::<TlsConfig>,
        ];
        let unread: Vec<_> = families.into_iter().flat_map(|unread| unread(&text)).collect();
        assert!(unread.is_empty(), "mark them no_effect, or read them: {unread:?}");
    }
}
