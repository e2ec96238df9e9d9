//! The page by HTTP.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE as CONTENT_TYPE_HEADER, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use runtime::{Accepted, Connection, Listener, Refused, Shutdown};

use crate::families::Families;

/// Where the page is.
pub const PATH: &str = "/metrics";
/// What it is: the text format of Prometheus.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// How long a client may take to ask.
const ASKING_MAX: Duration = Duration::from_secs(10);
/// How long a connection may last in all.
const CONNECTION_MAX: Duration = Duration::from_secs(60);
/// Largest request, in octets: what the library takes at the least.
const REQUEST_MAX: usize = 8 * 1024;
/// Most lines of a request.
const HEADERS_MAX: usize = 64;
/// To who comes while there are too many.
const REFUSAL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 10\r\nConnection: close\r\n\r\n";

/// What gives the numbers.
pub trait Source: Send + Sync + 'static {
    /// All of them, as they are now.
    fn gather(&self) -> Pin<Box<dyn Future<Output = Families> + Send + '_>>;
}

struct Inner {
    source: Box<dyn Source>,
    /// Numbers are gathered for one client at a time: whoever asks again and again costs no more than one core, at low priority.
    gathering: tokio::sync::Mutex<()>,
}

/// Gives the page to whoever asks. Clones are the same server.
#[derive(Clone)]
pub struct Server(Arc<Inner>);

impl Server {
    /// Of these numbers.
    #[must_use]
    pub fn new(source: impl Source) -> Self {
        Self(Arc::new(Inner { source: Box::new(source), gathering: tokio::sync::Mutex::default() }))
    }

    /// Serves a listener until the order to stop.
    ///
    /// # Errors
    /// The listening socket is broken.
    pub async fn serve(&self, listener: Listener, shutdown: Shutdown) -> std::io::Result<()> {
        loop {
            let accepted = tokio::select! {
                // In this order: once it is to stop, another one may accept at this socket.
                biased;
                () = shutdown.wait() => return Ok(()),
                accepted = listener.accept() => accepted?,
            };
            match accepted {
                Accepted::Connection(connection) => {
                    tokio::spawn(attend(self.clone(), connection, shutdown.clone()));
                }
                Accepted::Refused(Refused { mut stream, .. }) => {
                    stream.send(REFUSAL);
                    tokio::spawn(stream.close_after_refusal());
                }
            }
        }
    }

    async fn answer<B>(&self, request: Request<B>) -> Response<Full<Bytes>> {
        let (method, path) = (request.method(), request.uri().path());
        if path != PATH {
            return said(StatusCode::NOT_FOUND, format!("the numbers are at {PATH}\n"));
        }
        if method != Method::GET && method != Method::HEAD {
            let mut answer = said(StatusCode::METHOD_NOT_ALLOWED, "ask with GET\n".to_owned());
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        let families = {
            let _one = self.0.gathering.lock().await;
            self.0.source.gather().await
        };
        let mut answer = said(StatusCode::OK, families.page());
        answer.headers_mut().insert(CONTENT_TYPE_HEADER, HeaderValue::from_static(CONTENT_TYPE));
        answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        answer
    }
}

/// An answer in words.
fn said(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE_HEADER, plain);
    answer
}

async fn attend(server: Server, connection: Connection, shutdown: Shutdown) {
    let _live = shutdown.guard();
    let Connection { stream, permit: _permit, .. } = connection;
    // Listeners for this page speak in clear.
    let Ok(socket) = stream.into_socket() else { return };
    let service = service_fn(|request| {
        let server = server.clone();
        async move { Ok::<_, Infallible>(server.answer(request).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(ASKING_MAX).max_headers(HEADERS_MAX);
    http.max_buf_size(REQUEST_MAX).keep_alive(false);
    let conversation = http.serve_connection(TokioIo::new(socket), service);
    tokio::select! {
        // A client that goes away, or asks for what no HTTP is, has been told, as far as it can be.
        _ = tokio::time::timeout(CONNECTION_MAX, conversation) => {}
        () = shutdown.wait() => {}
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use runtime::ListenerOptions;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::families::Kind;

    struct One;

    impl Source for One {
        fn gather(&self) -> Pin<Box<dyn Future<Output = Families> + Send + '_>> {
            Box::pin(async {
                let mut families = Families::default();
                families.begin("wasmta_one", Kind::Gauge, "One").add(&[], 1);
                families
            })
        }
    }

    /// What the server says to these octets, head and body.
    async fn asked(octets: &[u8], connections_max: usize) -> String {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let options =
            ListenerOptions { address, backlog: 16, connections_max, per_network_max: connections_max };
        let listener = Listener::bind(&options).unwrap();
        let (address, stop) = (listener.local_addr(), Shutdown::new());
        let (server, ending) = (Server::new(One), stop.clone());
        let serving = tokio::spawn(async move { server.serve(listener, ending).await });
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(octets).await.unwrap();
        let mut said = Vec::new();
        client.read_to_end(&mut said).await.unwrap();
        stop.trigger();
        serving.await.unwrap().unwrap();
        String::from_utf8(said).unwrap()
    }

    #[tokio::test]
    async fn the_page_is_given() {
        let said = asked(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", 4).await;
        let (head, body) = said.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains(&format!("content-type: {CONTENT_TYPE}\r\n")), "{head}");
        assert_eq!(body, "# HELP wasmta_one One.\n# TYPE wasmta_one gauge\nwasmta_one 1\n");
        let said = asked(b"HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n", 4).await;
        assert!(said.starts_with("HTTP/1.1 200 OK\r\n") && said.ends_with("\r\n\r\n"), "{said}");
    }

    #[tokio::test]
    async fn nothing_else_is_there() {
        for (request, expected) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "404 Not Found"),
            ("POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", "405 Method Not Allowed"),
            ("EHLO client.test\r\n\r\n", "400 Bad Request"),
        ] {
            let said = asked(request.as_bytes(), 4).await;
            assert!(said.starts_with(&format!("HTTP/1.1 {expected}\r\n")), "{request}: {said}");
        }
        let long = format!("GET /metrics HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(2 * REQUEST_MAX));
        assert!(asked(long.as_bytes(), 4).await.starts_with("HTTP/1.1 431 "));
    }

    #[tokio::test]
    async fn too_many_are_told_so() {
        let said = asked(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", 0).await;
        assert!(said.starts_with("HTTP/1.1 503 "), "{said}");
    }
}
