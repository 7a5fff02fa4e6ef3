//! Every disk that a crash may leave: a recording of what was done, and for each moment of it the images.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use super::tree::{Fate, FileId, Operation, Tree};
use super::{MemoryDisk, Neglect};

/// Bytes that a disk writes at once, and those that the kernel does.
const SECTOR_BYTES: u64 = 512;
const PAGE_BYTES: u64 = 4096;

/// What a sync makes durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// The length and the content of a file.
    File(FileId),
    /// Which names are in a folder.
    Folder(PathBuf),
    Everything,
}

impl Scope {
    fn covers(&self, operation: &Operation) -> bool {
        match self {
            Scope::File(file) => operation.file() == Some(*file),
            Scope::Folder(folder) => operation.folder() == Some(folder),
            Scope::Everything => true,
        }
    }
}

/// Moves the operations that a sync covers into the durable files, keeping their order.
pub(super) fn settle(durable: &mut Tree, unsynced: &mut Vec<Operation>, scope: &Scope) {
    unsynced.retain(|operation| {
        let is_covered = scope.covers(operation);
        if is_covered {
            durable.apply(operation, Fate::Kept);
        }
        !is_covered
    });
}

pub(super) enum Event {
    Did(Operation),
    Synced(Scope),
}

/// What was done to a disk while it was recorded, from which all the images follow that a crash may have left meanwhile.
#[derive(Default)]
pub struct Trace {
    durable: Tree,
    unsynced: Vec<Operation>,
    neglect: Option<Neglect>,
    events: Vec<(Event, u64)>,
    last_stamp: u64,
}

/// How thorough [`Trace::images`] is. The default is.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Most images of one kind for each moment; when there would be more, some are drawn.
    pub kind_max: usize,
    /// Images of each moment for which every operation's fate is drawn.
    pub drawn: usize,
    /// What the draws depend on.
    pub seed: u64,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan { kind_max: usize::MAX, drawn: 8, seed: 1 }
    }
}

/// A disk that a crash may have left.
pub struct Image<'a> {
    /// What the recording's stamp was at that moment.
    pub stamp: u64,
    /// Whether nothing was lost: this is also what the death of the process leaves.
    pub is_whole: bool,
    moment: &'a Moment,
    fates: Vec<Fate>,
    neglect: Option<Neglect>,
}

impl Image<'_> {
    /// The disk itself.
    pub fn disk(&self) -> MemoryDisk {
        let mut tree = self.moment.durable.clone();
        for (operation, fate) in self.moment.unsynced.iter().zip(&self.fates) {
            tree.apply(operation, *fate);
        }
        if self.is_whole {
            // What only the process's death left is as unsafe as before.
            let Moment { durable, unsynced, .. } = self.moment;
            return MemoryDisk::new(tree.pruned(), durable.clone(), unsynced.clone(), self.neglect);
        }
        MemoryDisk::crashed(tree, self.neglect)
    }

    /// What was not synced then and what became of it, for whoever looks for the reason of a failure.
    pub fn story(&self) -> String {
        let line = |(operation, fate): (&Operation, &Fate)| {
            let what = match operation {
                Operation::MakeFolder { .. } => "folder".to_owned(),
                Operation::Create { .. } => "file".to_owned(),
                Operation::SetLength { len, .. } => format!("length {len}"),
                Operation::Write { at, bytes, .. } => format!("{} bytes at {at}", bytes.len()),
                Operation::Rename { from, .. } => format!("rename of {}", from.display()),
                Operation::Remove { .. } => "removal".to_owned(),
            };
            format!("  {fate:?}: {what}, {}\n", operation.path().display())
        };
        let fates: String = self.moment.unsynced.iter().zip(&self.fates).map(line).collect();
        format!("after {} operations, of which were not synced:\n{fates}", self.moment.count)
    }
}

impl Trace {
    pub(super) fn new(durable: Tree, unsynced: Vec<Operation>, neglect: Option<Neglect>) -> Trace {
        Trace { durable, unsynced, neglect, ..Trace::default() }
    }

    pub(super) fn push(&mut self, event: Event, stamp: u64) {
        self.events.push((event, stamp));
    }

    pub(super) fn ended(mut self, last_stamp: u64) -> Trace {
        self.last_stamp = last_stamp;
        self
    }

    /// Shows every image once, for each operation and each stamp, until `visit` says that it has seen enough; returns how
    /// many there were. Of a moment's unsynced operations:
    ///
    /// * the first so many are there, for each number; the last of these whole, or torn at each sector and page;
    /// * one is missing or torn and the others are there; one is there and the others are not;
    /// * those on one file or folder are missing, or only those are there;
    /// * each has a fate that is drawn.
    pub fn images(&self, plan: &Plan, visit: &mut dyn FnMut(&Image<'_>) -> bool) -> u64 {
        let ids = (0..self.unsynced.len() as u64).collect();
        let moment = Moment {
            durable: self.durable.clone(),
            unsynced: self.unsynced.clone(),
            ids,
            count: self.unsynced.len() as u64,
            synced_count: 0,
        };
        let shown = Shown { seen: HashSet::new(), count: 0, is_over: false, visit };
        let mut walk = Walk { moment, plan, neglect: self.neglect, random: Random(plan.seed | 1), stamp: 0, shown };
        walk.stamp = self.events.first().map_or(self.last_stamp, |(_, stamp)| *stamp);
        walk.look_at_all();
        for (event, stamp) in &self.events {
            if *stamp != walk.stamp {
                // The same images under another promise.
                walk.stamp = *stamp;
                walk.look_at_all();
            }
            match event {
                Event::Did(operation) => {
                    walk.moment.did(operation);
                    walk.look_at_last();
                }
                Event::Synced(scope) => {
                    walk.moment.synced(scope);
                    walk.look_at_all();
                }
            }
            if walk.shown.is_over {
                break;
            }
        }
        walk.stamp = self.last_stamp;
        walk.look_at_all();
        walk.shown.count
    }
}

/// A moment of the recording.
struct Moment {
    durable: Tree,
    unsynced: Vec<Operation>,
    /// Number of each of the unsynced operations.
    ids: Vec<u64>,
    /// Operations until now.
    count: u64,
    /// Syncs until now.
    synced_count: u64,
}

impl Moment {
    fn did(&mut self, operation: &Operation) {
        self.unsynced.push(operation.clone());
        self.ids.push(self.count);
        self.count += 1;
    }

    fn synced(&mut self, scope: &Scope) {
        let stays: Vec<bool> = self.unsynced.iter().map(|operation| !scope.covers(operation)).collect();
        let mut stays = stays.into_iter();
        self.ids.retain(|_| stays.next().unwrap_or(true));
        settle(&mut self.durable, &mut self.unsynced, scope);
        self.synced_count += 1;
    }

    /// Makes fates possible: the names in a folder change in their order.
    fn keep_order(&self, fates: &mut [Fate]) {
        let mut stopped: Vec<&Path> = Vec::new();
        for (operation, fate) in self.unsynced.iter().zip(fates) {
            let Some(folder) = operation.folder() else { continue };
            if *fate != Fate::Kept || stopped.contains(&folder) {
                *fate = Fate::Lost;
                stopped.push(folder);
            }
        }
    }

    /// What tells an image from the others.
    fn fingerprint(&self, stamp: u64, fates: &[Fate]) -> u64 {
        let mut hasher = DefaultHasher::new();
        (stamp, self.synced_count).hash(&mut hasher);
        for kept in self.ids.iter().zip(fates).filter(|(_, fate)| **fate != Fate::Lost) {
            kept.hash(&mut hasher);
        }
        hasher.finish()
    }
}

struct Shown<'a> {
    seen: HashSet<u64>,
    count: u64,
    is_over: bool,
    visit: &'a mut dyn FnMut(&Image<'_>) -> bool,
}

struct Walk<'a> {
    moment: Moment,
    plan: &'a Plan,
    neglect: Option<Neglect>,
    random: Random,
    stamp: u64,
    shown: Shown<'a>,
}

impl Walk<'_> {
    fn show(&mut self, mut fates: Vec<Fate>) {
        self.moment.keep_order(&mut fates);
        let is_new = !self.shown.is_over && self.shown.seen.insert(self.moment.fingerprint(self.stamp, &fates));
        if is_new {
            self.shown.count += 1;
            let is_whole = fates.iter().all(|fate| *fate == Fate::Kept);
            let image = Image { stamp: self.stamp, is_whole, moment: &self.moment, fates, neglect: self.neglect };
            self.shown.is_over = !(self.shown.visit)(&image);
        }
    }

    /// Shows the image in which the operation at `position` has `fate`, those before it `before` and those behind `behind`.
    fn show_one(&mut self, position: usize, fate: Fate, before: Fate, behind: Fate) {
        let mut fates = vec![before; self.moment.unsynced.len()];
        fates[position..].fill(behind);
        fates[position] = fate;
        self.show(fates);
    }

    /// What is new with the last operation.
    fn look_at_last(&mut self) {
        let Some(last) = self.moment.unsynced.len().checked_sub(1) else { return };
        self.show_one(last, Fate::Kept, Fate::Kept, Fate::Kept);
        self.show_one(last, Fate::Kept, Fate::Lost, Fate::Lost);
        for fate in self.some_tears(last) {
            self.show_one(last, fate, Fate::Kept, Fate::Kept);
        }
        for position in self.some_of(last) {
            self.show_one(position, Fate::Lost, Fate::Kept, Fate::Kept);
            if let Some(fate) = self.a_tear(position) {
                self.show_one(position, fate, Fate::Kept, Fate::Kept);
            }
        }
        self.look_at_groups();
        self.draw();
    }

    /// Everything that can be left at this moment.
    fn look_at_all(&mut self) {
        let len = self.moment.unsynced.len();
        self.show(vec![Fate::Kept; len]);
        self.show(vec![Fate::Lost; len]);
        for position in self.some_of(len) {
            self.show_one(position, Fate::Kept, Fate::Kept, Fate::Lost);
            self.show_one(position, Fate::Lost, Fate::Kept, Fate::Kept);
            self.show_one(position, Fate::Kept, Fate::Lost, Fate::Lost);
            for fate in self.some_tears(position) {
                self.show_one(position, fate, Fate::Kept, Fate::Lost);
                self.show_one(position, fate, Fate::Kept, Fate::Kept);
            }
        }
        self.look_at_groups();
        self.draw();
    }

    /// One file or folder is late, or all the others are.
    fn look_at_groups(&mut self) {
        let group = |operation: &Operation| (operation.file(), operation.folder().map(Path::to_owned));
        let groups: Vec<_> = self.moment.unsynced.iter().map(group).collect();
        let mut kinds = groups.clone();
        kinds.sort();
        kinds.dedup();
        for number in self.some_of(kinds.len()) {
            for (inside, outside) in [(Fate::Lost, Fate::Kept), (Fate::Kept, Fate::Lost)] {
                self.show(groups.iter().map(|group| if *group == kinds[number] { inside } else { outside }).collect());
            }
        }
    }

    fn draw(&mut self) {
        for _ in 0..self.plan.drawn.min(1 << self.moment.unsynced.len().min(16)) {
            let percent = [20, 50, 90][self.random.below(3)];
            let mut fates = Vec::new();
            for position in 0..self.moment.unsynced.len() {
                let is_kept = self.random.below(100) < percent;
                let torn = if self.random.below(4) == 0 { self.a_tear(position) } else { None };
                fates.push(torn.unwrap_or(if is_kept { Fate::Kept } else { Fate::Lost }));
            }
            self.show(fates);
        }
    }

    /// All numbers below `count`, or some when those are too many.
    fn some_of(&mut self, count: usize) -> Vec<usize> {
        if count <= self.plan.kind_max {
            return (0..count).collect();
        }
        let mut drawn: Vec<usize> = (0..self.plan.kind_max).map(|_| self.random.below(count)).collect();
        drawn.sort_unstable();
        drawn.dedup();
        drawn
    }

    fn some_tears(&mut self, position: usize) -> Vec<Fate> {
        let tears = tears(&self.moment.unsynced[position]);
        self.some_of(tears.len()).into_iter().map(|number| tears[number]).collect()
    }

    fn a_tear(&mut self, position: usize) -> Option<Fate> {
        let tears = tears(&self.moment.unsynced[position]);
        let number = self.random.below(tears.len().max(1));
        tears.get(number).copied()
    }
}

/// The ways in which an operation can be torn: a write between any two sectors or pages, or with one of them missing; a
/// length of more than a page at half of it.
fn tears(operation: &Operation) -> Vec<Fate> {
    match operation {
        Operation::SetLength { len, .. } if *len > PAGE_BYTES => vec![Fate::Torn(*len as usize / 2)],
        Operation::Write { at, bytes, .. } => {
            let mut tears = Vec::new();
            for unit in [SECTOR_BYTES, PAGE_BYTES] {
                // Where units begin within the write, and its ends.
                let end = at + bytes.len() as u64;
                let first = (at / unit + 1) * unit;
                let inner = (first..end).step_by(unit as usize).map(|boundary| (boundary - at) as usize);
                let ends: Vec<usize> = std::iter::once(0).chain(inner).chain([bytes.len()]).collect();
                for pair in ends.windows(2).filter(|_| ends.len() > 2) {
                    tears.extend([Fate::Torn(pair[0]), Fate::TornBefore(pair[1]), Fate::Hole(pair[0], pair[1])]);
                }
            }
            tears.retain(|fate| *fate != Fate::Torn(0) && *fate != Fate::TornBefore(bytes.len()));
            tears
        }
        _ => Vec::new(),
    }
}

/// Numbers that look drawn: xorshift (Marsaglia).
struct Random(u64);

impl Random {
    /// A number below `count`, which is not 0.
    fn below(&mut self, count: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % count
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{Disk, Space};
    use super::*;

    /// What a file may hold after a crash during `run`.
    fn contents(run: impl FnOnce(&MemoryDisk)) -> Vec<Option<Vec<u8>>> {
        let disk = MemoryDisk::default();
        disk.create_folder(Path::new("/s")).expect("a disk in memory makes folders");
        disk.record(|| 0);
        run(&disk);
        let mut found = Vec::new();
        disk.recorded().images(&Plan::default(), &mut |image| {
            found.push(image.disk().read(Path::new("/s/f"), 1 << 20).ok());
            true
        });
        found.sort();
        found.dedup();
        found
    }

    #[test]
    fn writes_are_lost_torn_and_reordered() {
        let found = contents(|disk| {
            let file = disk.create(Path::new("/s/f"), 1024, Space::Sparse).unwrap();
            file.write_at(0, &[1; 1024]).unwrap();
            file.write_at(512, &[2; 512]).unwrap();
        });
        let content = |first: u8, second: u8| Some([[first; 512], [second; 512]].concat());
        let mut expected = vec![None, Some(Vec::new())];
        for (first, second) in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)] {
            expected.push(content(first, second));
        }
        expected.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_was_synced_is_in_every_image_from_then_on() {
        let disk = MemoryDisk::default();
        disk.create_folder(Path::new("/s")).unwrap();
        let file = disk.create(Path::new("/s/f"), 4, Space::Sparse).unwrap();
        disk.sync_folder(Path::new("/s")).unwrap();
        let stamp = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
        let shown = stamp.clone();
        disk.record(move || shown.load(std::sync::atomic::Ordering::Relaxed));
        file.write_at(0, b"safe").unwrap();
        file.sync().unwrap();
        stamp.store(1, std::sync::atomic::Ordering::Relaxed);
        let mut stamps = [0, 0];
        disk.recorded().images(&Plan::default(), &mut |image| {
            stamps[image.stamp as usize] += 1;
            let content = image.disk().read(Path::new("/s/f"), 4).unwrap();
            image.stamp == 0 || content == b"safe"
        });
        assert_eq!(stamps, [5, 1], "{stamps:?}");
    }

    #[test]
    fn names_in_a_folder_change_in_their_order() {
        let disk = MemoryDisk::default();
        disk.create_folder(Path::new("/s")).unwrap();
        disk.record(|| 0);
        disk.create(Path::new("/s/a"), 1, Space::Sparse).unwrap();
        disk.create(Path::new("/s/b"), 1, Space::Sparse).unwrap();
        disk.recorded().images(&Plan::default(), &mut |image| {
            let names: Vec<_> =
                image.disk().list(Path::new("/s")).unwrap().into_iter().map(|entry| entry.name).collect();
            assert!(names != ["b"], "{}", image.story());
            true
        });
    }
}
