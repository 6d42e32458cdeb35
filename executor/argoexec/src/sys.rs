//! What the standard library and rustix do not offer without `unsafe`: signal masks, signalfd, the moment before exec.
//!
//! No other file of the project has `unsafe` in it.
#![expect(unsafe_code, reason = "system calls that have no safe form elsewhere; each states why it is sound")]

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// The signal that tells of folders.
pub(crate) const NOTIFIED: i32 = libc::SIGIO;

/// The signals that a thread does not take, so that they wait to be read.
#[derive(Clone, Copy)]
pub(crate) struct Mask(libc::sigset_t);

/// Blocks every signal that can be, for this thread and those that it starts; the mask before that comes back.
pub(crate) fn block_signals() -> io::Result<Mask> {
    let all = every_signal();
    let mut before = MaybeUninit::uninit();
    // SAFETY: both point to signal sets that live through the call, and where it succeeds it has filled the second.
    unsafe {
        match libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, before.as_mut_ptr()) {
            0 => Ok(Mask(before.assume_init())),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }
}

/// From which blocked signals are read.
pub(crate) fn signal_fd() -> io::Result<OwnedFd> {
    let all = every_signal();
    // SAFETY: the set lives through the call, and a descriptor that comes back is new and nobody else's.
    unsafe {
        match libc::signalfd(-1, &raw const all, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) {
            -1 => Err(io::Error::last_os_error()),
            descriptor => Ok(OwnedFd::from_raw_fd(descriptor)),
        }
    }
}

/// Asks for a [`NOTIFIED`] whenever an entry is made or renamed in a folder, and, with `writes`, whenever one is written to
/// (`fcntl(2)`, F_NOTIFY); until the descriptor is closed.
pub(crate) fn notify(folder: BorrowedFd<'_>, writes: bool) -> io::Result<()> {
    // From the kernel's `linux/fcntl.h`: made, renamed, again and again; and written to.
    let what: libc::c_long = 0x4 | 0x10 | 0x8000_0000;
    let what = if writes { what | 0x2 } else { what };
    // SAFETY: the descriptor lives through the call and the argument is a number.
    match unsafe { libc::fcntl(folder.as_raw_fd(), libc::F_NOTIFY, what) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// `kill(2)`: a negative process is a group. Also takes real-time signals, which rustix has no safe name for.
pub(crate) fn kill(process: i32, signal: i32) -> io::Result<()> {
    // SAFETY: two numbers go in and none is a pointer.
    match unsafe { libc::kill(process, signal) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A program with its arguments and variables, as the kernel takes them.
pub(crate) struct Image {
    program: CString,
    words: Strings,
    variables: Strings,
}

impl Image {
    /// Puts them together.
    ///
    /// # Errors
    /// Where one has a zero byte in it.
    pub(crate) fn new(program: &OsStr, words: &[OsString], variables: &[(OsString, OsString)]) -> io::Result<Self> {
        let variables = variables.iter().map(|(name, value)| [name.as_bytes(), value.as_bytes()].join(&b'='));
        Ok(Self {
            program: CString::new(program.as_bytes())?,
            words: Strings::new(words.iter().map(|word| word.as_bytes().to_vec()))?,
            variables: Strings::new(variables)?,
        })
    }
}

/// Texts, and the list of where each of them is.
struct Strings {
    _texts: Vec<CString>,
    pointers: Vec<*const libc::c_char>,
}

// SAFETY: the pointers are to what the texts own, which nobody changes and which goes when they do.
unsafe impl Send for Strings {}
// SAFETY: as above; whoever shares it only reads.
unsafe impl Sync for Strings {}

impl Strings {
    fn new(texts: impl Iterator<Item = Vec<u8>>) -> io::Result<Self> {
        let texts = texts.map(CString::new).collect::<Result<Vec<_>, _>>()?;
        let pointers = texts.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect();
        Ok(Self { _texts: texts, pointers })
    }
}

/// What the child does once it has its descriptors: its signals are as ours were, it dies with us, it does `also`, and then it
/// becomes the program. The C library's own way of the last step would run a file that is no program by a shell, with one
/// library and not with another.
///
/// `also` may do nothing but system calls, since other threads' locks are as the fork found them.
pub(crate) fn become_program(
    command: &mut Command,
    image: Image,
    mask: Mask,
    mut also: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
) {
    let parent = rustix::process::getpid();
    let hook = move || {
        let image = &image;
        // SAFETY: the set lives through the call, and nothing is to come back.
        let result = unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const mask.0, std::ptr::null_mut()) };
        if result != 0 {
            return Err(io::Error::from_raw_os_error(result));
        }
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        // The parent may have died before that, and then nobody would tell.
        if rustix::process::getppid() != Some(parent) {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        also()?;
        let (words, variables) = (image.words.pointers.as_ptr(), image.variables.pointers.as_ptr());
        // SAFETY: each list ends in a null pointer, and what it points to lives in `image`.
        unsafe { libc::execve(image.program.as_ptr(), words, variables) };
        Err(io::Error::last_os_error())
    };
    // SAFETY: the closure makes system calls alone and allocates nothing.
    unsafe {
        command.pre_exec(hook);
    }
}

fn every_signal() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigfillset initialises the set that it is given and cannot fail on a valid pointer.
    unsafe {
        libc::sigfillset(set.as_mut_ptr());
        set.assume_init()
    }
}
