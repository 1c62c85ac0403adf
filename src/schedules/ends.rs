//! Calls inside the host's functions, and the end of a run while clients and they are at work.

use super::{G1, Stage, explore, group, join_all};
use crate::core::types::ClientId;
use crate::log::{Level, Line};
use crate::settings::LogSink;
use shuttle::thread;
use std::sync::{Arc, OnceLock};

/// The log's function joins a group while the thread that it is called on is about to call the
/// client that is to hear of it.
#[test]
fn a6_calls_inside_the_log() {
    explore(|| {
        let joiner = Arc::new(OnceLock::<(Stage, ClientId)>::new());
        let ours = joiner.clone();
        let log = move |_, line: &Line| {
            // Joining a group that is joined already is no news: this ends.
            if line.as_str().contains("join alert")
                && let Some((stage, id)) = ours.get()
            {
                stage.add(*id, group(9), 1).unwrap();
            }
        };
        let stage = Stage::with(|settings| {
            settings.log_level = Level::Trace;
            settings.log = LogSink::Host(Arc::new(log));
        });
        let ((_, a_id), (b, _)) = (stage.client(1, &[1]), stage.client(2, &[]));
        assert!(joiner.set((stage, a_id)).is_ok());
        let others = thread::spawn(move || stage.add(a_id, group(3), 1).unwrap());
        stage.add(a_id, G1, 1).unwrap();
        assert!(b.believes(G1), "A7: caused by the call, and not come");
        join_all([others]);
        assert!(b.believes(group(9)), "A7: caused by one of the calls, and not come");
        stage.mgm.stop().unwrap();
    });
}
