//! Values as the original prints them.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use raptormq_protocol::body::{PERM_INHERIT, PERM_READ, PERM_WRITE, TopicConfig};
use raptormq_protocol::command::Version;
use raptormq_protocol::json;

/// The first letters of a text, `count` at most. Java: `UtilAll.frontStringAtLeast`.
pub(crate) fn front(text: &str, count: usize) -> &str {
    text.char_indices().nth(count).map_or(text, |(at, _)| &text[..at])
}

/// A moment with milliseconds: `2026-11-21 12:28:33,640`. Java: `UtilAll.timeMillisToHumanString2`.
pub(crate) fn time_ms(moment_ms: i64) -> String {
    format!("{},{:03}", time(moment_ms), moment_ms.rem_euclid(1000))
}

/// A moment: `2026-11-21 12:28:33`.
pub(crate) fn time(moment_ms: i64) -> String {
    local(moment_ms).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// A moment as one number: `20261121122833640`. Java: `UtilAll.timeMillisToHumanString`.
pub(crate) fn time_number(moment_ms: i64) -> String {
    format!("{}{:03}", local(moment_ms).strftime("%Y%m%d%H%M%S"), moment_ms.rem_euclid(1000))
}

/// A moment in this machine's time zone; what is no moment at all is shown as 1970.
fn local(moment_ms: i64) -> jiff::Zoned {
    Timestamp::from_millisecond(moment_ms).unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(TimeZone::system())
}

/// Reads a moment: milliseconds since 1970, or `yyyy-MM-dd#HH:mm:ss:SSS`.
pub(crate) fn moment(text: &str) -> Option<i64> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let (seconds, millis) = text.rsplit_once(':')?;
    let seconds = DateTime::strptime("%Y-%m-%d#%H:%M:%S", seconds).ok()?;
    let millis: i64 = millis.parse().ok().filter(|millis| (0..1000).contains(millis))?;
    let moment = seconds.to_zoned(TimeZone::system()).ok()?;
    Some(moment.timestamp().as_millisecond() + millis)
}

/// Milliseconds since 1970, now.
pub(crate) fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

/// A floating-point number as Java's `Double.toString` writes it.
pub(crate) fn double(number: f64) -> String {
    // That is how it stands in JSON, too, and a number can always be written.
    json::to_vec(&number).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
}

/// `RW-` and the like. Java: `PermName.perm2String`.
pub(crate) fn perm(bits: i32) -> String {
    let letter = |bit, letter| if bits & bit == 0 { '-' } else { letter };
    [letter(PERM_READ, 'R'), letter(PERM_WRITE, 'W'), letter(PERM_INHERIT, 'X')].iter().collect()
}

/// A topic's settings. Java: `TopicConfig.toString`.
pub(crate) fn topic(topic: &TopicConfig) -> String {
    let attributes: Vec<_> = topic.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
    format!(
        "TopicConfig [topicName={}, readQueueNums={}, writeQueueNums={}, perm={}, topicFilterType={}, topicSysFlag={}, \
         order={}, attributes={{{}}}]",
        topic.topic_name,
        topic.read_queue_nums,
        topic.write_queue_nums,
        perm(topic.perm),
        topic.topic_filter_type.name(),
        topic.topic_sys_flag,
        topic.order,
        attributes.join(", ")
    )
}

/// A release of a client, `V5_3_3`.
pub(crate) fn version(number: i32) -> String {
    Version(number).to_string()
}

/// The name of an enum's value, as it stands in JSON.
pub(crate) fn enum_name(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_as_it_is_written() {
        let moment_ms = 1_795_264_113_640;
        let text = format!("{}:640", time(moment_ms).replace(' ', "#"));
        assert_eq!(moment(&text), Some(moment_ms));
        assert_eq!(moment("0"), Some(0));
        for wrong in ["yesterday", "2026-13-01#00:00:00:000", "2026-11-21 12:28:33:640", ""] {
            assert_eq!(moment(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn values_look_like_javas() {
        assert_eq!((front("größe", 3), front("ab", 3)), ("grö", "ab"));
        assert_eq!((perm(6), perm(4), perm(7)), ("RW-".to_owned(), "R--".to_owned(), "RWX".to_owned()));
        assert_eq!((double(0.0), double(0.25)), ("0.0".to_owned(), "0.25".to_owned()));
    }
}
