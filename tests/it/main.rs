//! The tests of the whole program, a module a kind; one binary, because linking ten of them takes longer than running them.

mod architecture;
mod components;
mod oracle;
mod oracles;
