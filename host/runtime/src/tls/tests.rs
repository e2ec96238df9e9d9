use super::certificate::server_end_point;
use super::server::read_certificates;
use super::*;
use crate::{Stream, connect};
use rustls::pki_types::pem::PemObject;
use std::io;
use std::net::SocketAddr;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

fn server(folder: &std::path::Path) -> TlsServer {
    let (certificate, key) = make_self_signed(folder, &["mail.example.org".to_owned()]).unwrap();
    TlsServer::load(&certificate, &key).unwrap()
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn shake(
    server: &TlsServer,
    client: &TlsClient,
    name: &str,
) -> (io::Result<Stream>, io::Result<Stream>) {
    let (listener, address) = listen().await;
    let connecting = async {
        connect(address, None, Duration::from_secs(5)).await.unwrap().connect_tls(client, name).await
    };
    let accepting = async { Stream::plain(listener.accept().await.unwrap().0).start_tls(server).await };
    tokio::join!(accepting, connecting)
}

async fn read_all(mut stream: Stream) -> Vec<u8> {
    let mut all = Vec::new();
    while stream.fill().await.unwrap() > 0 {
        all.extend_from_slice(stream.buffered());
        stream.consume(stream.buffered().len());
    }
    all
}

#[tokio::test]
async fn a_self_signed_server_serves_an_opportunistic_client() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) =
        shake(&server(folder.path()), &TlsClient::opportunistic().unwrap(), "mail.example.org").await;
    let (mut ours, theirs) = (ours.unwrap(), theirs.unwrap());
    let (here, there) = (ours.tls().unwrap().clone(), theirs.tls().unwrap());
    assert_eq!((here.version, here.cipher), ("TLSv1.3", there.cipher));
    assert!(here.cipher.starts_with("TLS_"));
    assert!(here.exporter.is_some());
    assert_eq!(here.exporter, there.exporter);
    assert_eq!(here.server_end_point.as_ref().map(|hash| hash.len()), Some(32));
    let content: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 249) as u8).collect();
    let sending = async {
        ours.send(&content[..10]);
        ours.flush_with(&[&content[10..500_000], &content[500_000..]]).await.unwrap();
        ours.close().await;
    };
    let ((), got) = tokio::join!(sending, read_all(theirs));
    assert!(got == content);
}

#[tokio::test]
async fn a_verifying_client_wants_the_right_name_and_authority() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path());
    let pem = std::fs::read(folder.path().join("tls-cert.pem")).unwrap();
    let authority = rustls::pki_types::CertificateDer::from_pem_slice(&pem).unwrap();
    let trusting = TlsClient::trusting(vec![authority]).unwrap();
    assert!(shake(&server, &trusting, "mail.example.org").await.1.is_ok());
    let (ours, theirs) = shake(&server, &trusting, "other.example.org").await;
    assert_eq!(theirs.unwrap_err().kind(), io::ErrorKind::InvalidData);
    assert!(ours.is_err());
    let elsewhere = tempfile::tempdir().unwrap();
    let stranger = self::server(elsewhere.path());
    assert!(shake(&stranger, &trusting, "mail.example.org").await.1.is_err());
}

#[tokio::test]
async fn clear_text_ahead_of_the_handshake_is_thrown_away() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path());
    let (listener, address) = listen().await;
    let connecting = async {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(b"STARTTLS\r\nMAIL FROM:<evil@example.net>\r\n").await.unwrap();
        let mut stream = Stream::plain(socket);
        while !stream.buffered().ends_with(b"\n") {
            stream.fill().await.unwrap();
        }
        let client = TlsClient::opportunistic().unwrap();
        let mut stream = stream.connect_tls(&client, "127.0.0.1").await.unwrap();
        stream.send(b"EHLO\r\n");
        stream.close().await;
    };
    let accepting = async {
        let mut stream = Stream::plain(listener.accept().await.unwrap().0);
        while !stream.buffered().ends_with(b"net>\r\n") {
            stream.fill().await.unwrap();
        }
        stream.consume(10);
        stream.send(b"220 go\r\n");
        stream.flush().await.unwrap();
        let stream = stream.start_tls(&server).await.unwrap();
        assert_eq!(stream.buffered(), b"");
        read_all(stream).await
    };
    let (heard, ()) = tokio::join!(accepting, connecting);
    assert_eq!(heard, b"EHLO\r\n");
}

#[tokio::test]
async fn a_handshake_behind_a_header_keeps_its_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path());
    let (listener, address) = listen().await;
    let connecting = async {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(b"PROXY UNKNOWN\r\n").await.unwrap();
        let client = TlsClient::opportunistic().unwrap();
        let mut stream = Stream::plain(socket).connect_tls(&client, "localhost").await.unwrap();
        stream.send(b"hello");
        stream.close().await;
    };
    let accepting = async {
        let mut stream = Stream::plain(listener.accept().await.unwrap().0);
        while stream.buffered().len() < 20 {
            stream.fill().await.unwrap();
        }
        stream.consume(15);
        read_all(stream.accept_tls(&server).await.unwrap()).await
    };
    let (heard, ()) = tokio::join!(accepting, connecting);
    assert_eq!(heard, b"hello");
}

#[tokio::test]
async fn garbage_instead_of_a_handshake_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path());
    let (listener, address) = listen().await;
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(b"QUIT\r\n and more than a record header\r\n").await.unwrap();
    let result = Stream::plain(listener.accept().await.unwrap().0).start_tls(&server).await;
    assert_eq!(result.unwrap_err().kind(), io::ErrorKind::InvalidData);
}

#[tokio::test]
async fn a_reload_changes_the_certificate_or_keeps_the_old() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path());
    let client = TlsClient::opportunistic().unwrap();
    let end_point = |stream: io::Result<Stream>| stream.unwrap().tls().unwrap().server_end_point.clone();
    let before = end_point(shake(&server, &client, "localhost").await.0);
    let certificate = folder.path().join("tls-cert.pem");
    std::fs::write(&certificate, "broken").unwrap();
    assert!(matches!(server.reload(), Err(TlsError::Content { .. })));
    assert_eq!(end_point(shake(&server, &client, "localhost").await.0), before);
    std::fs::remove_file(&certificate).unwrap();
    make_self_signed(folder.path(), &["new.example.org".to_owned()]).unwrap();
    server.reload().unwrap();
    assert_ne!(end_point(shake(&server, &client, "localhost").await.0), before);
}

#[tokio::test]
async fn each_host_shows_its_own_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let files = |host: &str| {
        let (certificate, key) = make_self_signed(&folder.path().join(host), &[host.to_owned()]).unwrap();
        CertificateFiles { certificate, key }
    };
    let (usual, acme, beta) = (files("mail.test"), files("mail.acme.test"), files("mail.beta.test"));
    let named = vec![("Mail.ACME.test".to_owned(), acme.clone()), ("mail.beta.test".to_owned(), beta)];
    let server = TlsServer::load_named(usual, named).unwrap();
    for (host, asked) in [
        ("mail.acme.test", "mail.acme.test"),
        ("mail.beta.test", "MAIL.beta.test"),
        ("mail.test", "mail.test"),
        ("mail.test", "mail.unknown.test"),
        ("mail.test", "127.0.0.1"),
    ] {
        let expected = read_certificates(&folder.path().join(host).join("tls-cert.pem")).unwrap();
        let (ours, theirs) = shake(&server, &TlsClient::opportunistic().unwrap(), asked).await;
        theirs.unwrap();
        let bound = ours.unwrap().tls().unwrap().server_end_point.clone();
        assert_eq!(bound, server_end_point(&expected[0]), "{asked}");
        // Whoever checks names is content with the certificate of the name that was asked for.
        if host == asked {
            let client = TlsClient::trusting_file(&folder.path().join(host).join("tls-cert.pem")).unwrap();
            assert!(shake(&server, &client, asked).await.1.is_ok(), "{asked}");
        }
    }
    std::fs::write(acme.key, "broken").unwrap();
    assert!(server.reload().is_err(), "one that cannot be read keeps all as they were");
}

#[test]
fn self_signed_files_are_private_and_made_once() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("data/tls");
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let (certificate, key) = make_self_signed(&inside, &names).unwrap();
    let made = std::fs::read(&certificate).unwrap();
    for path in [&certificate, &key] {
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    make_self_signed(&inside, &names).unwrap();
    assert_eq!(std::fs::read(&certificate).unwrap(), made);
    std::fs::remove_file(&key).unwrap();
    assert!(matches!(make_self_signed(&inside, &names), Err(TlsError::Content { .. })));
}
