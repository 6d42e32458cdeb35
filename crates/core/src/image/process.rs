/// The process that an image's configuration describes (OCI image spec, `config.Entrypoint`, `config.Cmd`, `config.User`).
///
/// Either list may be empty: an image with only `CMD`, or with neither, is legal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageProcess {
    /// `ENTRYPOINT`, in exec form; a shell form is already `["/bin/sh", "-c", …]` in an image's configuration.
    pub entrypoint: Vec<String>,
    /// `CMD`, used where the container sets neither command nor args.
    pub cmd: Vec<String>,
    /// `USER` as written in the image: a name or number, with or without a group. `None` where the image says nothing.
    pub user: Option<String>,
}
