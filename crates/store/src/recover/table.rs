//! Recovery as one decision table: what is found when a store is opened, and what is done about it.
//!
//! It has three parts, each a list of rows of which exactly one fits whatever is found: [`STARTS`] says from where the log
//! is walked and what the queues are worth, [`ENDS`] what a place without a good record means, [`INDEXES`] what becomes of
//! the index. `docs/formats.md` prints the same rows.

/// How the store was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// In order: there is no file `abort`.
    Clean,
    /// By a crash.
    Unclean,
}

/// Whether there are log files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Log {
    Empty,
    Files,
}

/// What the checkpoint is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vouch {
    /// There is a log file whose first record it vouches for.
    Usable,
    /// It is missing, torn, of the future, or older than every log file.
    Useless,
}

/// What `raptormq.queues` is worth, which says where each queue ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tails {
    /// It was written at the last stop or, before a crash, in the meantime, and no other broker was there since.
    Believed,
    /// It is missing, damaged, or somebody was there: the queues' own files were read.
    Unknown,
}

/// What the queues know of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// The last message that any queue has, and the log has it, too.
    Last,
    /// Nothing: there are no queues, or they are ahead of the log.
    Nothing,
}

/// From where the log is walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    /// There is nothing to walk.
    Nowhere,
    /// The start of the first file.
    First,
    /// The end of the last message that any queue has.
    QueuesEnd,
    /// Where the log ended when the queues' ends were written down, or a record before, if they were while it grew.
    TailsEnd,
    /// The first record that the checkpoint does not vouch for, in the last file whose first record it does.
    Vouched,
}

/// What becomes of the queues before the walk gives them what they miss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Units {
    /// They are what they were when they were closed.
    Kept,
    /// They are what was written down, all of which was on disk: what their files have behind that follows from the log.
    /// Batch queues are cut.
    WrittenDown,
    /// They lose what lies behind the start of the walk, and from their ends units whose message the log does not have.
    Cut,
}

/// A row of the first part; `None` stands for any value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    pub(crate) name: &'static str,
    pub(crate) stop: Option<Stop>,
    pub(crate) log: Option<Log>,
    pub(crate) checkpoint: Option<Vouch>,
    pub(crate) tails: Option<Tails>,
    pub(crate) queues: Option<Known>,
    pub(crate) from: From,
    pub(crate) units: Units,
}

/// From where the log is walked, and what the queues are worth.
pub(crate) const STARTS: &[Start] = &[
    Start {
        name: "no log",
        stop: None,
        log: Some(Log::Empty),
        checkpoint: None,
        tails: None,
        queues: None,
        from: From::Nowhere,
        units: Units::Cut,
    },
    Start {
        name: "clean stop, queues' ends written down",
        stop: Some(Stop::Clean),
        log: Some(Log::Files),
        checkpoint: None,
        tails: Some(Tails::Believed),
        queues: None,
        from: From::TailsEnd,
        units: Units::Kept,
    },
    Start {
        name: "clean stop",
        stop: Some(Stop::Clean),
        log: Some(Log::Files),
        checkpoint: None,
        tails: Some(Tails::Unknown),
        queues: Some(Known::Last),
        from: From::QueuesEnd,
        units: Units::Kept,
    },
    Start {
        name: "clean stop, queues missing or ahead of the log",
        stop: Some(Stop::Clean),
        log: Some(Log::Files),
        checkpoint: None,
        tails: Some(Tails::Unknown),
        queues: Some(Known::Nothing),
        from: From::First,
        units: Units::Cut,
    },
    Start {
        name: "crash, queues' ends written down",
        stop: Some(Stop::Unclean),
        log: Some(Log::Files),
        checkpoint: None,
        tails: Some(Tails::Believed),
        queues: None,
        from: From::TailsEnd,
        units: Units::WrittenDown,
    },
    Start {
        name: "crash",
        stop: Some(Stop::Unclean),
        log: Some(Log::Files),
        checkpoint: Some(Vouch::Usable),
        tails: Some(Tails::Unknown),
        queues: None,
        from: From::Vouched,
        units: Units::Cut,
    },
    Start {
        name: "crash, checkpoint missing, torn or too old",
        stop: Some(Stop::Unclean),
        log: Some(Log::Files),
        checkpoint: Some(Vouch::Useless),
        tails: Some(Tails::Unknown),
        queues: None,
        from: From::First,
        units: Units::Cut,
    },
];

/// What lies where the walk found no good record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Zeros, or the end of the last file: nothing was ever written there.
    Unwritten,
    /// A torn record, a wrong CRC, or garbage.
    Damaged,
}

/// What is in the log file behind that place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behind {
    /// There is none, or it begins with no good record.
    Nothing,
    /// A record that may have reached the disk before the one that is missing here.
    Younger,
    /// A record that the checkpoint vouches for: the log was whole on disk up to there, so this place was damaged later.
    Vouched,
}

/// What is done at such a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// The log ends here.
    End,
    /// The log ends here: the rest of the file is wiped.
    Wipe,
    /// The log ends here: the rest of the file is wiped, the files behind are removed.
    WipeAndRemove,
    /// What cannot be read is left out, and the walk goes on with the next file.
    GoOn,
}

/// A row of the second part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) name: &'static str,
    pub(crate) stop: Option<Stop>,
    pub(crate) place: Option<Place>,
    pub(crate) behind: Option<Behind>,
    pub(crate) then: Then,
}

/// What a place without a good record means.
pub(crate) const ENDS: &[End] = &[
    End {
        name: "the end",
        stop: Some(Stop::Clean),
        place: Some(Place::Unwritten),
        behind: Some(Behind::Nothing),
        then: Then::End,
    },
    End {
        name: "the end after a crash",
        stop: Some(Stop::Unclean),
        place: Some(Place::Unwritten),
        behind: Some(Behind::Nothing),
        then: Then::Wipe,
    },
    End {
        name: "torn or damaged last record, garbage behind the end",
        stop: None,
        place: Some(Place::Damaged),
        behind: Some(Behind::Nothing),
        then: Then::Wipe,
    },
    End {
        name: "a later file reached the disk before this place",
        stop: None,
        place: None,
        behind: Some(Behind::Younger),
        then: Then::WipeAndRemove,
    },
    End {
        name: "damage in the middle of the log",
        stop: None,
        place: None,
        behind: Some(Behind::Vouched),
        then: Then::GoOn,
    },
];

/// Which index files there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Indexed {
    /// `messageIndexEnable=false`.
    Disabled,
    /// None.
    Nothing,
    /// Some.
    Files,
}

/// What becomes of the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    /// It is not looked at.
    Ignored,
    /// It gets the keys of what is walked, as far as it does not have them.
    FromTheStart,
    /// Its entries are checked, and the walk begins no later than at the record of the last good one.
    FromItsEnd,
}

/// A row of the third part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IndexRow {
    pub(crate) name: &'static str,
    pub(crate) stop: Option<Stop>,
    pub(crate) index: Option<Indexed>,
    pub(crate) then: Keys,
}

/// What becomes of the index.
pub(crate) const INDEXES: &[IndexRow] = &[
    IndexRow { name: "no index wanted", stop: None, index: Some(Indexed::Disabled), then: Keys::Ignored },
    IndexRow { name: "no index files", stop: None, index: Some(Indexed::Nothing), then: Keys::FromTheStart },
    IndexRow { name: "clean stop", stop: Some(Stop::Clean), index: Some(Indexed::Files), then: Keys::FromTheStart },
    IndexRow {
        name: "crash: the last file may be torn",
        stop: Some(Stop::Unclean),
        index: Some(Indexed::Files),
        then: Keys::FromItsEnd,
    },
];

/// Whether a row's value, `None` for any, fits what was found.
fn fits<T: PartialEq>(pattern: Option<T>, found: T) -> bool {
    pattern.is_none_or(|pattern| pattern == found)
}

/// What the first part looks at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) stop: Stop,
    pub(crate) log: Log,
    pub(crate) checkpoint: Vouch,
    pub(crate) tails: Tails,
    pub(crate) queues: Known,
}

impl Start {
    fn is_for(&self, seen: &Seen) -> bool {
        fits(self.stop, seen.stop)
            && fits(self.log, seen.log)
            && fits(self.checkpoint, seen.checkpoint)
            && fits(self.tails, seen.tails)
            && fits(self.queues, seen.queues)
    }
}

/// The row of the first part that fits.
pub(crate) fn start(seen: &Seen) -> &'static Start {
    STARTS.iter().find(|row| row.is_for(seen)).expect("a test tries every combination")
}

/// The row of the second part that fits.
pub(crate) fn end(stop: Stop, place: Place, behind: Behind) -> &'static End {
    let row = ENDS.iter().find(|row| fits(row.stop, stop) && fits(row.place, place) && fits(row.behind, behind));
    row.expect("a test tries every combination")
}

/// The row of the third part that fits.
pub(crate) fn index(stop: Stop, index: Indexed) -> &'static IndexRow {
    let row = INDEXES.iter().find(|row| fits(row.stop, stop) && fits(row.index, index));
    row.expect("a test tries every combination")
}

#[cfg(test)]
mod tests {
    use super::*;

    const STOPS: [Stop; 2] = [Stop::Clean, Stop::Unclean];

    #[test]
    fn whatever_is_found_exactly_one_row_of_each_part_fits() {
        for stop in STOPS {
            for log in [Log::Empty, Log::Files] {
                for checkpoint in [Vouch::Usable, Vouch::Useless] {
                    for tails in [Tails::Believed, Tails::Unknown] {
                        for queues in [Known::Last, Known::Nothing] {
                            let seen = Seen { stop, log, checkpoint, tails, queues };
                            let rows: Vec<_> =
                                STARTS.iter().filter(|row| row.is_for(&seen)).map(|row| row.name).collect();
                            assert_eq!(rows.len(), 1, "{seen:?}: {rows:?}");
                            assert_eq!(start(&seen).name, rows[0]);
                        }
                    }
                }
            }
            for place in [Place::Unwritten, Place::Damaged] {
                for behind in [Behind::Nothing, Behind::Younger, Behind::Vouched] {
                    let is_fit =
                        |row: &&End| fits(row.stop, stop) && fits(row.place, place) && fits(row.behind, behind);
                    let rows: Vec<_> = ENDS.iter().filter(is_fit).map(|row| row.name).collect();
                    assert_eq!(rows.len(), 1, "{stop:?} {place:?} {behind:?}: {rows:?}");
                    assert_eq!(end(stop, place, behind).name, rows[0]);
                }
            }
            for found in [Indexed::Disabled, Indexed::Nothing, Indexed::Files] {
                let is_fit = |row: &&IndexRow| fits(row.stop, stop) && fits(row.index, found);
                let rows: Vec<_> = INDEXES.iter().filter(is_fit).map(|row| row.name).collect();
                assert_eq!(rows.len(), 1, "{stop:?} {found:?}: {rows:?}");
                assert_eq!(index(stop, found).name, rows[0]);
            }
        }
    }

    #[test]
    fn what_a_crash_may_have_torn_is_never_taken_as_it_is() {
        for row in STARTS.iter().filter(|row| row.stop != Some(Stop::Clean)) {
            assert_ne!(row.units, Units::Kept, "{}", row.name);
        }
        for row in ENDS.iter().filter(|row| row.place != Some(Place::Unwritten)) {
            assert_ne!(row.then, Then::End, "{}", row.name);
        }
    }

    #[test]
    fn the_format_pages_table_names_every_row() {
        let page = include_str!("../../../../docs/formats.md");
        let starts = STARTS.iter().map(|row| row.name);
        for name in starts.chain(ENDS.iter().map(|row| row.name)).chain(INDEXES.iter().map(|row| row.name)) {
            assert!(page.contains(&format!("| {name} |")), "docs/formats.md has no row {name:?}");
        }
    }
}
