use std::time::Duration;

/// What the API server waits where its URL does not say (`MutatingWebhookConfiguration`, `timeoutSeconds`).
pub(super) const DEFAULT: Duration = Duration::from_secs(10);
/// What the API server waits at most.
const MAXIMUM: Duration = Duration::from_secs(30);
const RESERVE: Duration = Duration::from_millis(500);

/// How long an answer may take: the API server's timeout less a tenth or half a second, whichever is more, for the way
/// there and back. Of a timeout below a second, half.
pub(super) fn of(timeout: Duration) -> Duration {
    let timeout = timeout.min(MAXIMUM);
    timeout.saturating_sub(RESERVE.max(timeout / 10)).max(timeout / 2)
}

/// The `timeout` parameter of the request's query (`?timeout=10s`), a duration as Go writes it.
pub(super) fn timeout(query: Option<&str>) -> Duration {
    let parameters = query.unwrap_or_default().split('&');
    let value = parameters.filter_map(|pair| pair.strip_prefix("timeout=")).next_back();
    value.and_then(parse).filter(|timeout| !timeout.is_zero()).unwrap_or(DEFAULT)
}

/// `1m30s`, `2.5s`, `500ms`; of Go's units those that a timeout is ever written in.
fn parse(text: &str) -> Option<Duration> {
    const UNITS: [(&str, f64); 4] = [("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    if text.is_empty() || text.len() > 32 {
        return None;
    }
    let (mut rest, mut seconds) = (text, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let (unit, factor) = UNITS.into_iter().find(|(unit, _)| rest.starts_with(unit))?;
        rest = &rest[unit.len()..];
        seconds += number * factor;
    }
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_servers_durations_are_read() {
        let seconds = Duration::from_secs_f64;
        for (query, expected) in [
            (Some("timeout=10s"), seconds(10.0)),
            (Some("timeout=7s"), seconds(7.0)),
            (Some("x=1&timeout=1m30s"), seconds(90.0)),
            (Some("timeout=2.5s"), seconds(2.5)),
            (Some("timeout=500ms"), seconds(0.5)),
            (Some("timeout=-1s"), DEFAULT),
            (Some("timeout=1e9s"), DEFAULT),
            (Some("timeout="), DEFAULT),
            (Some("timeout=0s"), DEFAULT),
            (None, DEFAULT),
        ] {
            assert_eq!(timeout(query), expected, "{query:?}");
        }
    }

    #[test]
    fn the_answer_is_given_in_time() {
        for (timeout, expected) in
            [(10_000, 9_000), (3_000, 2_500), (1_000, 500), (400, 200), (30_000, 27_000), (90_000, 27_000)]
        {
            assert_eq!(of(Duration::from_millis(timeout)), Duration::from_millis(expected), "{timeout} ms");
        }
    }
}
