//! The long-running processes of the tests' labs: what the `podgate` binary does when a lab starts it.

use podgate_lab::{Lab, enforce, process, responder};

fn main() -> podgate_lab::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [role, "--lab", name] = words[..] else {
        panic!("use: lab-process __lab-responder|__lab-enforce --lab NAME");
    };
    let lab = Lab::new(name)?;
    process::detach();
    match role {
        "__lab-responder" => responder::run(&lab),
        "__lab-enforce" => enforce::run(&lab),
        other => panic!("no process of a lab is called {other}"),
    }
}
