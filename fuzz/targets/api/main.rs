//! Programs on the library and on the model of docs/RULES.md: both must do the same.
#![no_main]

#[path = "../../../tests/model/compare.rs"]
mod compare;
#[path = "../../../tests/model/mod.rs"]
#[allow(dead_code, reason = "the model test uses more of it")]
mod model;
mod programs;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    let program = programs::decode(octets);
    if let Err(reason) = compare::compare(model::rust_api::subject(), &program) {
        panic!("{reason}");
    }
});
