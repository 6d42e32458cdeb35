//! Containers with a terminal.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::Stdio;

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{self, Winsize};
use serde_json::json;

use crate::pod::{Pod, until};

#[test]
fn a_process_gets_a_terminal_where_the_container_has_one() {
    let pod = Pod::new(&json!({"archiveLocation": {"archiveLogs": true}}));
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let size = |columns| Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    termios::tcsetwinsize(&ours, size(81)).unwrap();
    let theirs = ioctl_tiocgptpeer(&ours, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    let before = termios::tcgetattr(&theirs).unwrap();

    let line = "tty -s && stty size; trap 'stty size' WINCH; echo ready; read x; echo got $x; exit 5";
    let mut command = pod.emissary("main", &["bash", "-c", line]);
    let side = || Stdio::from(theirs.try_clone().unwrap());
    let mut child = command.stdin(side()).stdout(side()).stderr(side()).spawn().unwrap();
    drop(command);
    let mut ours = File::from(ours);
    let mut said = String::new();
    let mut read_until = |ours: &mut File, part: &str| {
        until(part, || {
            if said.contains(part) {
                return true;
            }
            let mut bytes = [0; 1024];
            let count = ours.read(&mut bytes).unwrap();
            said.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
            said.contains(part)
        });
    };
    read_until(&mut ours, "24 81");
    read_until(&mut ours, "ready");
    termios::tcsetwinsize(&ours, size(90)).unwrap();
    // It is not its session's, so that the kernel does not tell it.
    let process = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(process, rustix::process::Signal::WINCH).unwrap();
    ours.write_all(b"word\n").unwrap();
    read_until(&mut ours, "24 90");
    read_until(&mut ours, "got word");
    assert_eq!(child.wait().unwrap().code(), Some(5));
    assert_eq!(pod.text("var/run/argo/ctr/main/exitcode"), "5");
    assert!(pod.text("var/run/argo/ctr/main/combined").contains("got word"));
    let after = termios::tcgetattr(&theirs).unwrap();
    assert_eq!(after.local_modes, before.local_modes, "the terminal is as it was");
}
