//! Keys, defaults and their order against what `mqbroker -p`, `mqbroker -m` and `mqnamesrv -p` of Java 5.3.3 print.

use raptormq_config::{
    AuthConfig, BrokerConfig, BrokerSettings, ClientNetConfig, Environment, Family, NamesrvConfig, NamesrvSettings,
    Properties, ServerConfig, StoreConfig,
};

const BROKER: &str = include_str!("golden/broker.properties");
const IMPORTANT: &str = include_str!("golden/broker-m.keys");
const GET_BROKER_CONFIG: &str = include_str!("golden/getBrokerConfig.keys");
const NAMESRV: &str = include_str!("golden/namesrv.properties");

/// The recorded lines between two comment lines that begin as given, as `key=value`.
fn recorded<'a>(text: &'a str, from: &str, to: &str) -> Vec<&'a str> {
    let lines = text.lines().skip_while(|line| !line.starts_with(from)).skip(1);
    let lines = lines.take_while(|line| to.is_empty() || !line.starts_with(to)).filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split("   #").next().unwrap_or(line)).collect()
}

fn lines(pairs: Vec<(&'static str, String)>, own: &[&str]) -> Vec<String> {
    pairs.into_iter().filter(|(key, _)| !own.contains(key)).map(|(key, value)| format!("{key}={value}")).collect()
}

/// Keys that only RaptorMQ has.
fn own_keys() -> Vec<&'static str> {
    let families =
        [BrokerConfig::KEYS, ServerConfig::KEYS, ClientNetConfig::KEYS, StoreConfig::KEYS, NamesrvConfig::KEYS];
    families.into_iter().flatten().filter(|key| key.flags.is_own).map(|key| key.name).collect()
}

#[test]
fn the_broker_prints_every_key_of_java_in_its_order() {
    let mut settings = BrokerSettings::new(&Environment::example());
    settings.settle().unwrap();
    let expected = recorded(BROKER, "# Every key", "# Accepted in the file but not printed");
    assert_eq!(lines(settings.printed(false), &own_keys()), expected);
}

#[test]
fn the_broker_marks_the_same_keys_as_important() {
    let settings = BrokerSettings::new(&Environment::example());
    let printed: Vec<_> = settings.printed(true).into_iter().map(|(key, _)| key).collect();
    let expected: Vec<_> = IMPORTANT.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(printed, expected);
}

#[test]
fn the_name_server_prints_every_key_of_java_in_its_order() {
    let settings = NamesrvSettings::new(&Environment::example());
    assert_eq!(lines(settings.printed(), &own_keys()), recorded(NAMESRV, "# Every key", ""));
}

#[test]
fn the_config_request_is_answered_with_the_same_keys() {
    let mut settings = BrokerSettings::new(&Environment::example());
    let set =
        ["storePathCommitLog", "authConfigPath", "authenticationMetadataProvider", "authorizationMetadataProvider"];
    settings.load(&Properties::from_pairs("the file", set.map(|key| (key, "set")))).unwrap();
    let own = own_keys();
    let mut answered: Vec<_> =
        settings.pairs().into_iter().map(|(key, _)| key).filter(|key| !own.contains(key)).collect();
    answered.sort_unstable();
    answered.dedup();
    let expected: Vec<_> = GET_BROKER_CONFIG.lines().skip(1).collect();
    assert_eq!(expected.iter().find(|key| !answered.contains(key)), None);
    assert_eq!(answered.iter().find(|key| !expected.contains(key)), None);
}

#[test]
fn identity_and_auth_keys_are_accepted_with_the_defaults_of_java() {
    let settings = BrokerSettings::new(&Environment::example());
    for line in recorded(BROKER, "# BrokerIdentity", "# AuthConfig") {
        let (key, value) = line.split_once('=').unwrap();
        assert_eq!(settings.broker.get(key).as_deref(), Some(value), "{key}");
    }
    let auth = AuthConfig::new(&Environment::example());
    assert_eq!(lines(auth.pairs(|_| true), &[]), recorded(BROKER, "# AuthConfig", ""));
}
