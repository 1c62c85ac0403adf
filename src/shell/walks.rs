//! Walks: what remains to be looked at of the routes that have changed (rules D10, E5, E9).
//!
//! A *walk* goes through what is under a prefix: the sources that memberships name, then the flows,
//! by source, then group. A change that the host tells
//! is walked by the host's own thread, inside its call. A change that the plane tells is noted, and a
//! duty of the pool's walks it. However often a prefix is told while it is walked, it is walked once
//! more, after a rest that is as long as the walk was. The narrowest prefix comes first: a change of
//! it concerns the flows under it, while a change that may concern every flow mostly concerns none.
//!
//! This is plain data under the shell's lock; `looks` walks.

#![forbid(unsafe_code)]

use crate::core::Concerned;
use crate::sys::sync::Instant;
use std::cmp::Reverse;
use std::net::Ipv4Addr;
use std::time::Duration;

/// How many prefixes are told apart; more count as everything.
const MOST: usize = 64;

/// An IPv4 prefix.
pub(super) type Prefix = (Ipv4Addr, u8);

pub(super) const EVERYTHING: Prefix = (Ipv4Addr::UNSPECIFIED, 0);

/// A walk of the pool's.
#[derive(Clone, Copy)]
struct Walk {
    prefix: Prefix,
    /// What it has come to.
    after: Option<Concerned>,
    /// When it began.
    begun: Option<Instant>,
    /// The prefix was told again since then: the walk begins anew at its end.
    again: bool,
    /// How often it has begun anew. Walks that have done so less often come first.
    rounds: u32,
    /// It rests until then.
    rests: Option<Instant>,
}

/// A walk of a thread of the host's.
#[derive(Clone, Copy, Debug)]
struct HostWalk {
    /// 0: there was no memory to note it.
    id: u64,
    prefix: Prefix,
    after: Option<Concerned>,
    /// It has moved on since the last tick.
    moved: bool,
}

/// The walks that have begun or are to begin.
pub(crate) struct Walks {
    list: Vec<Walk>,
    hosts: Vec<HostWalk>,
    last_id: u64,
}

impl Walks {
    /// None, with room for all there will be.
    pub(crate) fn new() -> Self {
        Self { list: Vec::with_capacity(MOST), hosts: Vec::new(), last_id: 0 }
    }

    /// Notes that the routes under a prefix are to be looked at, from the first one on.
    pub(super) fn add(&mut self, prefix: Prefix) {
        self.add_after(prefix, None);
    }

    /// The same from what comes after `after` on.
    fn add_after(&mut self, prefix: Prefix, after: Option<Concerned>) {
        let new = |prefix, after| Walk {
            prefix,
            after,
            begun: None,
            again: false,
            rounds: 0,
            rests: None,
        };
        if let Some(walk) = self.list.iter_mut().find(|walk| walk.prefix == prefix) {
            walk.again |= walk.begun.is_some() || walk.after.is_some();
        } else if self.list.len() < MOST {
            self.list.push(new(prefix, after));
        } else {
            self.list.clear();
            self.list.push(new(EVERYTHING, None));
        }
    }

    /// The walk that is to go on, by its place.
    pub(super) fn next(&self, now: Instant) -> More<usize> {
        let order = |walk: &Walk| (walk.rounds, Reverse(walk.prefix.1));
        let rests = |walk: &&Walk| walk.rests.filter(|until| *until > now);
        let awake = self.list.iter().enumerate().filter(|(_, walk)| rests(walk).is_none());
        match awake.min_by_key(|(_, walk)| order(walk)) {
            Some((at, _)) => More::Now(at),
            None => match self.list.iter().filter_map(|walk| walk.rests).min() {
                Some(until) => More::At(until),
                None => More::Nothing,
            },
        }
    }

    /// A walk, by its place, has come to its end. It goes, or begins anew after a rest.
    pub(super) fn ended(&mut self, at: usize, now: Instant) {
        let walk = &mut self.list[at];
        if walk.again {
            let took = walk.begun.map_or(Duration::ZERO, |begun| begun.elapsed());
            *walk = Walk {
                after: None,
                begun: None,
                again: false,
                rounds: walk.rounds + 1,
                rests: Some(now + took),
                ..*walk
            };
        } else {
            self.list.swap_remove(at);
        }
    }

    /// A walk has come to something.
    pub(super) fn come_to(&mut self, whose: Whose, place: Concerned) {
        match whose {
            Whose::Pool(prefix) => {
                if let Some(walk) = self.list.iter_mut().find(|walk| walk.prefix == prefix) {
                    walk.after = Some(place);
                }
            }
            Whose::Host(id) => {
                if let Some(walk) = self.hosts.iter_mut().find(|walk| walk.id == id) {
                    (walk.after, walk.moved) = (Some(place), true);
                }
            }
        }
    }

    /// A walk, by its place, goes on. Gives its prefix and what it has come to.
    pub(super) fn go_on(&mut self, at: usize, now: Instant) -> (Prefix, Option<Concerned>) {
        let walk = &mut self.list[at];
        walk.begun.get_or_insert(now);
        (walk.prefix, walk.after)
    }

    /// The place of a walk of the host's, while nobody has taken it over.
    pub(super) fn place_of_hosts(&self, id: u64) -> Option<usize> {
        self.hosts.iter().position(|walk| walk.id == id)
    }

    /// A walk of the host's, by its place, has come to its end.
    pub(super) fn end_hosts(&mut self, at: usize) {
        self.hosts.swap_remove(at);
    }

    /// Notes a walk of the host's. Gives its name.
    pub(super) fn begin(&mut self, prefix: Prefix) -> u64 {
        if self.hosts.try_reserve(1).is_err() {
            return 0;
        }
        self.last_id += 1;
        self.hosts.push(HostWalk { id: self.last_id, prefix, after: None, moved: true });
        self.last_id
    }

    /// Walks of the host's that stand still since this was asked last become the pool's: a client does
    /// not return to their threads. True: there were some.
    pub(super) fn take_idle(&mut self) -> bool {
        let before = self.hosts.len();
        while let Some(at) = self.hosts.iter().position(|walk| !walk.moved) {
            let HostWalk { prefix, after, .. } = self.hosts.swap_remove(at);
            self.add_after(prefix, after);
        }
        self.hosts.iter_mut().for_each(|walk| walk.moved = false);
        self.hosts.len() < before
    }
}

/// What there is to do for the pool.
pub(super) enum More<T> {
    Now(T),
    /// Nothing before that.
    At(Instant),
    Nothing,
}

/// Whose walk it is.
#[derive(Clone, Copy)]
pub(super) enum Whose {
    Pool(Prefix),
    /// A thread's of the host's, by its name.
    Host(u64),
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use super::*;
    use crate::types::SourceGroup;

    fn prefix(octet: u8, len: u8) -> Prefix {
        (Ipv4Addr::new(octet, 0, 0, 0), len)
    }

    fn place(octet: u8) -> Concerned {
        let group = Ipv4Addr::new(232, 1, 1, 1);
        Concerned::Flow(SourceGroup::new(Ipv4Addr::new(octet, 0, 0, 1), group))
    }

    /// The prefix whose walk comes next, once all have rested.
    fn next(walks: &Walks) -> Option<Prefix> {
        match walks.next(Instant::now() + Duration::from_secs(3600)) {
            More::Now(at) => Some(walks.list[at].prefix),
            _ => None,
        }
    }

    /// Walks a round.
    fn walk(walks: &mut Walks, of: Prefix) {
        let at = walks.list.iter().position(|walk| walk.prefix == of).unwrap();
        walks.list[at].begun = Some(Instant::now());
        walks.come_to(Whose::Pool(of), place(1));
    }

    fn end(walks: &mut Walks, of: Prefix) {
        let at = walks.list.iter().position(|walk| walk.prefix == of).unwrap();
        walks.ended(at, Instant::now());
    }

    #[test]
    fn a_prefix_that_is_told_often_is_walked_once_more() {
        let mut walks = Walks::new();
        for _ in 0..100 {
            walks.add(EVERYTHING);
        }
        assert_eq!(walks.list.len(), 1);
        walk(&mut walks, EVERYTHING);
        end(&mut walks, EVERYTHING);
        assert_eq!(next(&walks), None, "it had not begun when it was told");
        walks.add(EVERYTHING);
        walk(&mut walks, EVERYTHING);
        for _ in 0..100 {
            walks.add(EVERYTHING);
        }
        end(&mut walks, EVERYTHING);
        assert_eq!(next(&walks), Some(EVERYTHING));
        assert_eq!((walks.list[0].after, walks.list.len()), (None, 1), "from its beginning");
        walk(&mut walks, EVERYTHING);
        end(&mut walks, EVERYTHING);
        assert_eq!(next(&walks), None);
    }

    #[test]
    fn the_narrowest_comes_first_and_none_waits_for_ever() {
        let mut walks = Walks::new();
        let (wide, narrow) = (prefix(10, 8), prefix(10, 24));
        walks.add(EVERYTHING);
        walk(&mut walks, EVERYTHING);
        walks.add(wide);
        walks.add(narrow);
        assert_eq!(next(&walks), Some(narrow));
        // It is told again and again: the others get their turn in between.
        walk(&mut walks, narrow);
        walks.add(narrow);
        end(&mut walks, narrow);
        assert_eq!(next(&walks), Some(wide));
        walk(&mut walks, wide);
        walks.add(wide);
        end(&mut walks, wide);
        assert_eq!(next(&walks), Some(EVERYTHING));
        assert_eq!(walks.list[0].after, Some(place(1)), "where it was");
        // One that is new comes first again.
        walks.add(prefix(20, 16));
        assert_eq!(next(&walks), Some(prefix(20, 16)));
    }

    #[test]
    fn a_walk_rests_as_long_as_it_took_before_it_begins_anew() {
        let mut walks = Walks::new();
        walks.add(EVERYTHING);
        walk(&mut walks, EVERYTHING);
        walks.add(EVERYTHING);
        let now = Instant::now();
        walks.list[0].begun = now.checked_sub(Duration::from_secs(50));
        walks.ended(0, now);
        let More::At(until) = walks.next(now + Duration::from_secs(49)) else { panic!("it rests") };
        assert!(until >= now + Duration::from_secs(50) && until < now + Duration::from_secs(60));
        assert!(matches!(walks.next(until), More::Now(0)));
        // Others do not wait for it.
        walks.add(prefix(10, 8));
        assert!(matches!(walks.next(now), More::Now(1)));
    }

    #[test]
    fn too_many_prefixes_count_as_everything() {
        let mut walks = Walks::new();
        for octet in 0..MOST as u8 {
            walks.add(prefix(octet, 8));
        }
        assert_eq!(walks.list.len(), MOST);
        walks.add(prefix(MOST as u8, 8));
        assert_eq!((walks.list.len(), next(&walks)), (1, Some(EVERYTHING)));
        assert!(walks.list.capacity() < 2 * MOST, "there is room from the start");
    }

    #[test]
    fn a_walk_of_the_hosts_that_stands_still_goes_on_from_where_it_is() {
        let mut walks = Walks::new();
        let id = walks.begin(prefix(10, 8));
        walks.come_to(Whose::Host(id), place(1));
        assert!(!walks.take_idle() && walks.hosts.len() == 1);
        walks.come_to(Whose::Host(id), place(2));
        assert!(!walks.take_idle(), "it has moved on");
        assert!(walks.take_idle() && walks.hosts.is_empty());
        assert_eq!((next(&walks), walks.list[0].after), (Some(prefix(10, 8)), Some(place(2))));
    }
}
