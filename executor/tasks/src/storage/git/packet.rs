//! Lines of git's protocol: four hexadecimal digits of length, then so many bytes (`gitprotocol-common`).

use bytes::{Bytes, BytesMut};

use super::super::StorageError;

/// The longest line, its length included, bytes.
const LONGEST: usize = 65_520;

/// What comes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet {
    Data(Bytes),
    /// The end of a list, or of it all.
    Flush,
    /// Between two parts.
    Delimiter,
}

/// Where bytes come from, in parts of any length.
pub(super) trait Source {
    /// The next part; nothing at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, StorageError>;
}

/// Lines out of a stream.
pub(super) struct Packets<S> {
    source: S,
    buffer: BytesMut,
}

impl<S: Source> Packets<S> {
    pub(super) fn new(source: S) -> Self {
        Self { source, buffer: BytesMut::new() }
    }

    /// The next line.
    ///
    /// # Errors
    /// Where the stream breaks off, or has no such line.
    pub(super) async fn next(&mut self) -> Result<Packet, StorageError> {
        let digits = self.take(4).await?;
        let length = std::str::from_utf8(&digits).ok().and_then(|digits| usize::from_str_radix(digits, 16).ok());
        match length {
            Some(0) => Ok(Packet::Flush),
            Some(1) => Ok(Packet::Delimiter),
            // The end of an answer, for connections that have several.
            Some(2) => Ok(Packet::Flush),
            Some(length @ 4..=LONGEST) => {
                let data = self.take(length - 4).await?;
                match data.starts_with(b"ERR ") {
                    true => Err(refused(&data)),
                    false => Ok(Packet::Data(data)),
                }
            }
            _ => Err(StorageError::lasting("it does not speak git's protocol")),
        }
    }

    /// The next line's text, without its end; nothing at the end of a list.
    pub(super) async fn text(&mut self) -> Result<Option<String>, StorageError> {
        match self.next().await? {
            Packet::Data(data) => {
                let text = data.strip_suffix(b"\n").unwrap_or(&data);
                Ok(Some(String::from_utf8_lossy(text).into_owned()))
            }
            Packet::Flush | Packet::Delimiter => Ok(None),
        }
    }

    async fn take(&mut self, length: usize) -> Result<Bytes, StorageError> {
        while self.buffer.len() < length {
            match self.source.next().await? {
                Some(part) => self.buffer.extend_from_slice(&part),
                None => return Err(StorageError::Passing("the server's answer breaks off".to_owned())),
            }
        }
        Ok(self.buffer.split_to(length).freeze())
    }
}

/// What a server says when it refuses. Its words are a stranger's: only what they mean is told.
pub(super) fn refused(words: &[u8]) -> StorageError {
    let known = ["not our ref", "unadvertised object", "not a valid object", "no such ref"];
    let words = String::from_utf8_lossy(words);
    match known.iter().any(|known| words.contains(known)) {
        true => StorageError::lasting(
            "the server does not have a commit that was asked for, or does not give it by its name",
        ),
        false => StorageError::lasting("the server refuses, or fails, to send the repository"),
    }
}

/// Appends a line.
pub(super) fn line(to: &mut Vec<u8>, text: &str) {
    to.extend_from_slice(format!("{:04x}{text}\n", text.len() + 5).as_bytes());
}

/// Appends the end of a list.
pub(super) fn flush(to: &mut Vec<u8>) {
    to.extend_from_slice(b"0000");
}

/// Appends what stands between a command's capabilities and its arguments.
pub(super) fn delimiter(to: &mut Vec<u8>) {
    to.extend_from_slice(b"0001");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct Parts(Vec<Vec<u8>>);

    impl Source for Parts {
        async fn next(&mut self) -> Result<Option<Bytes>, StorageError> {
            Ok(if self.0.is_empty() { None } else { Some(self.0.remove(0).into()) })
        }
    }

    fn all(parts: Vec<Vec<u8>>) -> Vec<Result<Packet, String>> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut packets = Packets::new(Parts(parts));
            let mut all = Vec::new();
            loop {
                all.push(packets.next().await.map_err(|error| error.to_string()));
                if matches!(all.last(), Some(Err(_))) {
                    return all;
                }
            }
        })
    }

    #[test]
    fn lines_are_found_wherever_a_stream_is_cut() {
        let mut stream = Vec::new();
        line(&mut stream, "want x");
        delimiter(&mut stream);
        flush(&mut stream);
        stream.extend_from_slice(b"0004");
        assert_eq!(stream, b"000bwant x\n000100000004");
        for size in 1..=stream.len() {
            let parts = stream.chunks(size).map(<[u8]>::to_vec).collect();
            let read = all(parts);
            let data = |text: &'static str| Ok(Packet::Data(Bytes::from_static(text.as_bytes())));
            assert_eq!(read[..4], [data("want x\n"), Ok(Packet::Delimiter), Ok(Packet::Flush), data("")], "{size}");
            assert!(read[4].is_err());
        }
    }

    #[test]
    fn a_servers_words_are_not_told() {
        let mut stream = Vec::new();
        line(&mut stream, "ERR upload-pack: not our ref \u{1b}[31m");
        let said = all(vec![stream]).remove(0).unwrap_err();
        assert!(said.contains("does not have a commit") && !said.contains('\u{1b}'), "{said}");
    }

    proptest! {
        #[test]
        fn any_stream_is_read_or_refused(parts: Vec<Vec<u8>>) {
            all(parts);
        }
    }
}
