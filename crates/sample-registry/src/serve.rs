use crate::{
    Request, State,
    access::Decision,
    body::Reply,
    content::digest,
    fault::{Fault, RequestHead},
    lock,
};
use bytes::Bytes;
use hyper::{
    Method, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE},
    http::response::Builder,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use std::{convert::Infallible, sync::Arc};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    task::JoinSet,
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};

const DIGEST: &str = "docker-content-digest";

/// Accepts until aborted; the connections end with it.
pub(crate) async fn accept(listener: TcpListener, tls: Option<Arc<ServerConfig>>, state: Arc<State>) {
    let acceptor = tls.map(TlsAcceptor::from);
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        while connections.try_join_next().is_some() {}
        let (acceptor, state) = (acceptor.clone(), Arc::clone(&state));
        connections.spawn(async move {
            match acceptor {
                None => connection(stream, false, state).await,
                Some(acceptor) => {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    connection(stream, http2, state).await;
                }
            }
        });
    }
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, http2: bool, state: Arc<State>) {
    let service = service_fn(move |request| {
        let state = Arc::clone(&state);
        async move { Ok::<_, Infallible>(respond(&state, &request).await) }
    });
    let stream = TokioIo::new(stream);
    // How a connection ends is its client's affair.
    let _ = match http2 {
        true => hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await,
        false => hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await,
    };
}

async fn respond<B>(state: &State, request: &hyper::Request<B>) -> Response<Reply> {
    let authorization =
        request.headers().get(AUTHORIZATION).map(|value| String::from_utf8_lossy(value.as_bytes()).into());
    let head = RequestHead {
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        authorization,
    };
    let entry = {
        let mut log = lock(&state.log);
        log.push(Request {
            method: head.method.clone(),
            path: request.uri().path_and_query().map_or_else(String::new, ToString::to_string),
            had_credentials: head.authorization.is_some(),
            status: 0,
        });
        log.len() - 1
    };
    let fault = state.fault.as_ref().and_then(|hook| hook(&head));
    let answer = answer(state, &head);
    let response = misbehave(fault, answer, request.method() == Method::HEAD).await;
    if let Some(request) = lock(&state.log).get_mut(entry) {
        request.status = response.status().as_u16();
    }
    response
}

/// An answer before it is decided how well it is delivered.
struct Answer {
    head: Builder,
    body: Bytes,
}

fn answer(state: &State, head: &RequestHead) -> Answer {
    if head.method != "GET" && head.method != "HEAD" {
        return error(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED");
    }
    if head.path == "/token" {
        return token(state, head);
    }
    if head.path == "/v2/" || head.path == "/v2" {
        return json(StatusCode::OK, "application/json", "{}".into());
    }
    let route = head.path.strip_prefix("/v2/").and_then(|path| {
        let (rest, reference) = path.rsplit_once('/')?;
        let (repository, kind) = rest.rsplit_once('/')?;
        Some((repository, kind, reference))
    });
    let Some((repository, kind @ ("manifests" | "blobs"), reference)) = route else {
        return error(StatusCode::NOT_FOUND, "UNSUPPORTED");
    };
    if let Decision::Challenge(challenge) =
        state.accesses.decide(&state.origin, repository, head.authorization.as_deref())
    {
        let mut refusal = error(StatusCode::UNAUTHORIZED, "UNAUTHORIZED");
        refusal.head = refusal.head.header(WWW_AUTHENTICATE, challenge);
        return refusal;
    }
    let store = lock(&state.store);
    if kind == "manifests" {
        return match store.find_manifest(repository, reference) {
            None => error(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN"),
            Some(stored) => content(&stored.media_type, &stored.digest, stored.bytes),
        };
    }
    match store.find_blob(repository, reference) {
        None => error(StatusCode::NOT_FOUND, "BLOB_UNKNOWN"),
        Some(bytes) => content("application/octet-stream", reference, bytes),
    }
}

fn token(state: &State, head: &RequestHead) -> Answer {
    let scope = head.query.split('&').find_map(|pair| pair.strip_prefix("scope=")).unwrap_or_default();
    let scope = scope.replace("%3A", ":").replace("%2F", "/");
    match state.accesses.token(&scope, head.authorization.as_deref()) {
        None => error(StatusCode::UNAUTHORIZED, "UNAUTHORIZED"),
        Some(token) => {
            json(StatusCode::OK, "application/json", json!({"token": token, "expires_in": 300}).to_string().into())
        }
    }
}

fn content(media_type: &str, digest: &str, body: Bytes) -> Answer {
    let mut answer = json(StatusCode::OK, media_type, body);
    answer.head = answer.head.header(DIGEST, digest);
    answer
}

fn json(status: StatusCode, media_type: &str, body: Bytes) -> Answer {
    Answer { head: Response::builder().status(status).header(CONTENT_TYPE, media_type), body }
}

fn error(status: StatusCode, code: &str) -> Answer {
    let body = json!({"errors": [{"code": code, "message": "said by the sample registry"}]}).to_string();
    json(status, "application/json", body.into())
}

async fn misbehave(fault: Option<Fault>, answer: Answer, head_only: bool) -> Response<Reply> {
    let Answer { mut head, body } = answer;
    let mut length = Some(body.len() as u64);
    let reply = match fault {
        None => Reply::Whole(body),
        Some(Fault::Delay(time)) => {
            tokio::time::sleep(time).await;
            Reply::Whole(body)
        }
        Some(Fault::Stall) => std::future::pending().await,
        Some(Fault::Answer { status, headers, body }) => {
            head = Response::builder().status(status);
            for (name, value) in headers {
                head = head.header(name, value);
            }
            length = Some(body.len() as u64);
            Reply::Whole(body.into())
        }
        Some(Fault::Drip(every)) => Reply::dripping(body, every),
        Some(Fault::Truncate) => Reply::truncated(body.slice(..body.len() / 2)),
        Some(Fault::WrongBytes) => Reply::Whole(vec![b' '; body.len()].into()),
        Some(Fault::WrongDigest) => {
            if let Some(headers) = head.headers_mut()
                && let Ok(value) = HeaderValue::from_str(&digest(b"something else"))
            {
                headers.insert(DIGEST, value);
            }
            Reply::Whole(body)
        }
        Some(Fault::WrongLength(claimed)) => {
            length = Some(claimed);
            match body.get(..usize::try_from(claimed).unwrap_or(usize::MAX)) {
                Some(start) => Reply::Whole(body.slice_ref(start)),
                None => Reply::truncated(body),
            }
        }
        Some(Fault::Huge(bytes)) => {
            length = None;
            Reply::Huge(bytes)
        }
    };
    if let Some(length) = length {
        head = head.header(CONTENT_LENGTH, length);
    }
    let reply = if head_only { Reply::Whole(Bytes::new()) } else { reply };
    // Only a hook's own status or header can be invalid.
    head.body(reply).unwrap_or_else(|_| {
        let mut response = Response::new(Reply::Whole(Bytes::new()));
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}
