//! A client of the schedules' tests.

use crate::error::Error;
use crate::shell::callbacks::{CallbackThread, Callbacks, OutInterface, RpfAnswer};
use crate::shell::tally::CallbackKind;
use crate::types::{IfKey, Route, Seconds, SourceGroup};
use shuttle::thread;
// The tests' own notes must be no points at which the scheduler may change threads.
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

type Hook = Arc<dyn Fn(CallbackKind, SourceGroup) + Send + Sync>;

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
    seen: Mutex<Vec<(CallbackKind, SourceGroup)>>,
    hook: Mutex<Option<Hook>>,
}

impl Client {
    pub(super) fn looping() -> Self {
        Self(Arc::new(Notes { dispatched: true, ..Notes::default() }))
    }

    fn called(&self, kind: CallbackKind, of: SourceGroup) {
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

    pub(super) fn on_callback(
        &self,
        hook: impl Fn(CallbackKind, SourceGroup) + Send + Sync + 'static,
    ) {
        *self.0.hook.lock().unwrap() = Some(Arc::new(hook));
    }

    pub(super) fn unload(&self) {
        self.0.unloaded.store(true, SeqCst);
    }

    pub(super) fn is_unloaded(&self) -> bool {
        self.0.unloaded.load(SeqCst)
    }

    /// Its callbacks so far.
    pub(super) fn seen(&self) -> Vec<(CallbackKind, SourceGroup)> {
        self.0.seen.lock().unwrap().clone()
    }

    pub(super) fn count(&self, kind: CallbackKind, of: SourceGroup) -> usize {
        self.0.seen.lock().unwrap().iter().filter(|seen| **seen == (kind, of)).count()
    }

    /// What its alerts last said about a membership. Join and Prune must have alternated.
    pub(super) fn believes(&self, of: SourceGroup) -> bool {
        let mut joined = false;
        for (kind, about) in self.0.seen.lock().unwrap().iter() {
            if *about == of && matches!(kind, CallbackKind::Join | CallbackKind::Prune) {
                assert_ne!(
                    joined,
                    *kind == CallbackKind::Join,
                    "A7: {of}: {kind:?} twice in a row"
                );
                joined = *kind == CallbackKind::Join;
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

    fn callback_thread(&self) -> CallbackThread {
        if self.0.dispatched { CallbackThread::Dispatched } else { CallbackThread::Anywhere }
    }

    fn rpf(&self, flow: SourceGroup, _: &mut RpfAnswer, _: &[u8], _: Option<&Route>) {
        self.called(CallbackKind::Rpf, flow);
    }

    fn creation(&self, flow: SourceGroup, _: IfKey, _: &mut [OutInterface]) -> Result<(), Error> {
        self.called(CallbackKind::Creation, flow);
        Ok(())
    }

    fn prune(&self, of: SourceGroup, _: IfKey, _: bool, _: &mut Seconds) {
        self.called(CallbackKind::Prune, of);
    }

    fn join(&self, of: SourceGroup, _: bool) {
        self.called(CallbackKind::Join, of);
    }

    fn wrong_interface(&self, flow: SourceGroup, _: IfKey, _: &[u8]) {
        self.called(CallbackKind::WrongInterface, flow);
    }

    fn local_join(&self, of: SourceGroup, _: IfKey) {
        self.called(CallbackKind::LocalJoin, of);
    }

    fn local_leave(&self, of: SourceGroup, _: IfKey) {
        self.called(CallbackKind::LocalLeave, of);
    }

    fn disable_igmp(&self, interface: IfKey) {
        self.called(CallbackKind::DisableIgmp, on(interface.index));
    }

    fn enable_igmp(&self, interface: IfKey) {
        self.called(CallbackKind::EnableIgmp, on(interface.index));
    }
}
