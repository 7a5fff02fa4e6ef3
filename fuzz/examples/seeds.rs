//! Writes `seeds/TARGET/*` from the golden vectors. Run it in this folder after the vectors were recorded again:
//! `cargo run --example seeds`.

use std::fs;
use std::path::Path;

use serde_json::Value;

/// Vectors that one target is given at most: fuzzing invents the rest.
const SEEDS_MAX: usize = 16;

fn main() {
    let frames = vectors("commands.json", "hex", |_| true);
    let headers = |form: &str| -> Vec<(String, Vec<u8>)> {
        let of_form = vectors("commands.json", "hex", |vector| vector["form"] == form);
        of_form.into_iter().map(|(name, frame)| (name, header(&frame))).collect()
    };
    let mut bodies = vectors("bodies.json", "hex", |_| true);
    bodies.extend(vectors("bodies.json", "loose", |vector| {
        ["HeartbeatData", "TopicRouteData", "RegisterBrokerBody", "TopicStatsTable"]
            .iter()
            .any(|wanted| vector["type"] == *wanted)
    }));
    bodies.extend(vectors("texts.json", "text", |vector| vector["name"] == "lenient"));
    write("frame", spread(frames));
    write("json_header", spread(headers("JSON")));
    write("binary_header", spread(headers("ROCKETMQ")));
    write("body", spread(bodies));
    let is_record = |vector: &Value| vector["name"].as_str().is_some_and(|name| name.starts_with("record/"));
    write("record", vectors("messages.json", "hex", is_record));
    let framed = |(name, record): (String, Vec<u8>)| (name, replicated(record));
    write("replication", vectors("messages.json", "hex", is_record).into_iter().map(framed).collect());
    let conditions = vectors("filters.json", "expression", |vector| vector["matches"].is_string());
    let numbered = conditions.into_iter().enumerate().map(|(number, (_, text))| (format!("{number:04}"), text));
    write("condition", spread(numbered.collect()));
    write("batch", vectors("messages.json", "hex", |vector| vector["name"] == "batch"));
}

/// Names and bytes of the vectors that are wanted and have the field.
fn vectors(file: &str, field: &str, is_wanted: impl Fn(&Value) -> bool) -> Vec<(String, Vec<u8>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../golden/vectors").join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let vectors: Vec<Value> = serde_json::from_str(&text).expect("vectors are JSON");
    let wanted = vectors.iter().enumerate().filter(|(_, vector)| is_wanted(vector));
    wanted
        .filter_map(|(line, vector)| {
            let value = vector[field].as_str()?;
            let name = format!("{line:03}-{}", vector["name"].as_str()?.replace('/', "-"));
            Some((name, if field == "hex" { unhex(value) } else { value.as_bytes().to_vec() }))
        })
        .collect()
}

/// A record at the begin of a log, in one frame of a master, which comes in one piece.
fn replicated(mut record: Vec<u8>) -> Vec<u8> {
    record[28..36].fill(0);
    let len = (record.len() as u32).to_be_bytes();
    [&[255][..], &[0; 8], &len, &record].concat()
}

fn unhex(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("hex digits are ASCII"));
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("two hex digits")).collect()
}

/// The header of a frame: its length is in the low 24 bits of the second word.
fn header(frame: &[u8]) -> Vec<u8> {
    let len = u32::from_be_bytes([0, frame[5], frame[6], frame[7]]) as usize;
    frame[8..8 + len].to_vec()
}

/// At most [`SEEDS_MAX`], from everywhere in the list.
fn spread(seeds: Vec<(String, Vec<u8>)>) -> Vec<(String, Vec<u8>)> {
    let step = seeds.len().div_ceil(SEEDS_MAX).max(1);
    seeds.into_iter().rev().step_by(step).collect()
}

fn write(target: &str, seeds: Vec<(String, Vec<u8>)>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    let _missing = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder for seeds");
    println!("{target}: {} seeds", seeds.len());
    for (name, bytes) in seeds {
        fs::write(folder.join(name), bytes).expect("a seed is written");
    }
}
