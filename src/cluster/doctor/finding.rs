use serde::Serialize;

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Ok,
    /// Not examined, and why.
    Skipped,
    /// It works, and may not be meant.
    Warning,
    /// It does not work.
    Problem,
}

/// What was found out about one thing. The names are part of the interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was examined.
    pub check: &'static str,
    /// How it is: the worst that was found.
    pub status: Status,
    /// That in one line.
    pub summary: String,
    /// What was seen, a line each: first what is wrong besides.
    pub details: Vec<String>,
    /// What mends it: commands to type, or what to change.
    pub mend: Vec<String>,
    /// How many of the details are wrong.
    #[serde(skip)]
    wrong: usize,
}

impl Finding {
    /// As it should be, so far.
    pub fn ok(check: &'static str, summary: impl Into<String>) -> Self {
        Self { check, status: Status::Ok, summary: summary.into(), details: Vec::new(), mend: Vec::new(), wrong: 0 }
    }

    /// Not examined.
    pub fn skipped(check: &'static str, why: impl Into<String>) -> Self {
        Self { status: Status::Skipped, ..Self::ok(check, why) }
    }

    /// Not examined after all; what was seen stays.
    pub fn given_up(self, why: impl Into<String>) -> Self {
        Self { status: Status::Skipped, summary: why.into(), ..self }
    }

    /// With something that was seen.
    pub fn with(mut self, detail: impl Into<String>) -> Self {
        self.details.push(detail.into());
        self
    }

    /// Something odd: the summary, unless there is a worse one, and what mends it.
    pub fn warn(&mut self, what: impl Into<String>, mend: impl Into<String>) {
        self.found(Status::Warning, what.into(), mend.into());
    }

    /// Something wrong.
    pub fn fail(&mut self, what: impl Into<String>, mend: impl Into<String>) {
        self.found(Status::Problem, what.into(), mend.into());
    }

    fn found(&mut self, status: Status, mut what: String, mend: String) {
        let is_first = self.status < Status::Warning;
        if status > self.status {
            std::mem::swap(&mut self.summary, &mut what);
            self.status = status;
        }
        if !is_first {
            self.details.insert(self.wrong, what);
            self.wrong += 1;
        }
        if !mend.is_empty() && !self.mend.contains(&mend) {
            self.mend.push(mend);
        }
    }
}
