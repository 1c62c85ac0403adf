//! A client of the schedules' tests.

use crate::shell::callbacks::{Callbacks, Lane, OutInterface, RpfAnswer};
use crate::types::{IfKey, Route, Seconds, SourceGroup};
use shuttle::thread;
// The tests' own notes must be no points at which the scheduler may change threads.
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Rpf,
    Creation,
    Prune,
    Join,
    WrongInterface,
    LocalJoin,
    LocalLeave,
    Disable,
    Enable,
}

type Hook = Arc<dyn Fn(Kind, SourceGroup) + Send + Sync>;

/// A client that notes its callbacks and checks them against rules A7 and A8.
#[derive(Clone, Default)]
pub(super) struct Client(Arc<Notes>);

#[derive(Default)]
struct Notes {
    /// Its callbacks run inside its own dispatch alone.
    dispatched: bool,
    inside: AtomicBool,
    /// Its code could have been unloaded.
    unloaded: AtomicBool,
    seen: Mutex<Vec<(Kind, SourceGroup)>>,
    hook: Mutex<Option<Hook>>,
}

impl Client {
    pub(super) fn looping() -> Self {
        Self(Arc::new(Notes { dispatched: true, ..Notes::default() }))
    }

    fn called(&self, kind: Kind, of: SourceGroup) {
        assert!(!self.0.unloaded.load(SeqCst), "A8: {kind:?} {of} after the end");
        assert!(!self.0.inside.swap(true, SeqCst), "A7: {kind:?} {of} inside another callback");
        self.0.seen.lock().unwrap().push((kind, of));
        thread::yield_now();
        let hook = self.0.hook.lock().unwrap().clone();
        if let Some(hook) = hook {
            hook(kind, of);
            thread::yield_now();
        }
        assert!(!self.0.unloaded.load(SeqCst), "A8: {kind:?} {of} still runs after the end");
        self.0.inside.store(false, SeqCst);
    }

    pub(super) fn on_callback(&self, hook: impl Fn(Kind, SourceGroup) + Send + Sync + 'static) {
        *self.0.hook.lock().unwrap() = Some(Arc::new(hook));
    }

    pub(super) fn unload(&self) {
        self.0.unloaded.store(true, SeqCst);
    }

    pub(super) fn is_unloaded(&self) -> bool {
        self.0.unloaded.load(SeqCst)
    }

    /// Its callbacks so far.
    pub(super) fn seen(&self) -> Vec<(Kind, SourceGroup)> {
        self.0.seen.lock().unwrap().clone()
    }

    pub(super) fn count(&self, kind: Kind, of: SourceGroup) -> usize {
        self.0.seen.lock().unwrap().iter().filter(|seen| **seen == (kind, of)).count()
    }

    /// What its alerts last said about a membership. Join and Prune must have alternated.
    pub(super) fn believes(&self, of: SourceGroup) -> bool {
        let mut joined = false;
        for (kind, about) in self.0.seen.lock().unwrap().iter() {
            if *about == of && matches!(kind, Kind::Join | Kind::Prune) {
                assert_ne!(joined, *kind == Kind::Join, "A7: {of}: {kind:?} twice in a row");
                joined = *kind == Kind::Join;
            }
        }
        joined
    }
}

fn on(index: u32) -> SourceGroup {
    SourceGroup::from_bits(index.into())
}

impl Callbacks for Client {
    fn has_local_join(&self) -> bool {
        true
    }

    fn lane(&self) -> Lane {
        if self.0.dispatched { Lane::Dispatched } else { Lane::Anywhere }
    }

    fn rpf(&self, flow: SourceGroup, _: &mut RpfAnswer, _: &[u8], _: Option<&Route>) {
        self.called(Kind::Rpf, flow);
    }

    fn creation(&self, flow: SourceGroup, _: IfKey, _: &mut [OutInterface]) {
        self.called(Kind::Creation, flow);
    }

    fn prune(&self, of: SourceGroup, _: IfKey, _: bool, _: &mut Seconds) {
        self.called(Kind::Prune, of);
    }

    fn join(&self, of: SourceGroup, _: bool) {
        self.called(Kind::Join, of);
    }

    fn wrong_interface(&self, flow: SourceGroup, _: IfKey, _: &[u8]) {
        self.called(Kind::WrongInterface, flow);
    }

    fn local_join(&self, of: SourceGroup, _: IfKey) {
        self.called(Kind::LocalJoin, of);
    }

    fn local_leave(&self, of: SourceGroup, _: IfKey) {
        self.called(Kind::LocalLeave, of);
    }

    fn disable_igmp(&self, interface: IfKey) {
        self.called(Kind::Disable, on(interface.index));
    }

    fn enable_igmp(&self, interface: IfKey) {
        self.called(Kind::Enable, on(interface.index));
    }
}
