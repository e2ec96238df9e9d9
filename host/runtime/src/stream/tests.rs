use super::*;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

async fn pair() -> (Stream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (ours, theirs) = tokio::join!(connect(address, None, Duration::from_secs(5)), listener.accept());
    (ours.unwrap(), theirs.unwrap().0)
}

#[tokio::test]
async fn octets_are_buffered_until_consumed() {
    let (mut ours, mut theirs) = pair().await;
    theirs.write_all(b"NOOP\r\nQUIT\r\n").await.unwrap();
    while ours.buffered().len() < 12 {
        ours.fill().await.unwrap();
    }
    ours.consume(6);
    assert_eq!(ours.buffered(), b"QUIT\r\n");
    theirs.write_all(b"more").await.unwrap();
    ours.fill().await.unwrap();
    assert_eq!(ours.buffered(), b"QUIT\r\nmore");
    ours.consume(10);
    assert_eq!(ours.buffered(), b"");
    drop(theirs);
    assert_eq!(ours.fill().await.unwrap(), 0);
}

#[tokio::test]
async fn an_idle_stream_holds_no_buffer() {
    let (mut ours, mut theirs) = pair().await;
    theirs.write_all(&[b'x'; 5000]).await.unwrap();
    let mut got = 0;
    while got < 5000 {
        got += ours.fill().await.unwrap();
    }
    ours.consume(5000);
    ours.send(&[b'y'; 5000]);
    ours.flush().await.unwrap();
    assert_eq!(ours.write.capacity(), 0);
    let waiting = tokio::time::timeout(Duration::from_millis(1), ours.fill()).await;
    assert!(waiting.is_err());
    assert_eq!(ours.read.octets.capacity(), 0);
}

#[tokio::test]
async fn a_full_buffer_is_an_error_and_room_comes_back() {
    let (mut ours, mut theirs) = pair().await;
    ours.buffer_max(10);
    theirs.write_all(&[b'x'; 25]).await.unwrap();
    while ours.buffered().len() < 10 {
        ours.fill().await.unwrap();
    }
    assert_eq!(ours.fill().await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    ours.consume(4);
    while ours.buffered().len() < 10 {
        ours.fill().await.unwrap();
    }
    assert_eq!(ours.buffered(), b"xxxxxxxxxx");
}

#[tokio::test]
async fn large_transfers_arrive_whole_both_ways() {
    let (mut ours, theirs) = pair().await;
    let mut theirs = Stream::plain(theirs);
    let content: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let (first, rest) = content.split_at(1000);
    let (second, third) = rest.split_at(1_000_000);
    let sending = async {
        ours.send(first);
        ours.flush_with(&[second, &[], third]).await.unwrap();
        ours.close().await;
    };
    let receiving = async {
        let mut got = Vec::new();
        while theirs.fill().await.unwrap() > 0 {
            got.extend_from_slice(theirs.buffered());
            theirs.consume(theirs.buffered().len());
        }
        got
    };
    let ((), got) = tokio::join!(sending, receiving);
    assert!(got == content);
}

#[test]
fn remaining_slices_start_anywhere() {
    for from in 0..9 {
        let mut rest = [IoSlice::new(&[]); 2];
        let count = remaining(b"abc", &[b"", b"defg", b"hi"], from, &mut rest);
        let joined: Vec<u8> = rest[..count].iter().flat_map(|slice| slice.iter().copied()).collect();
        assert!(b"abcdefghi"[from..].starts_with(&joined) && !joined.is_empty());
    }
}

#[tokio::test]
async fn a_refused_connection_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = connect(address, None, Duration::from_secs(5)).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn compressed_streams_carry_both_ways() {
    let (mut ours, theirs) = pair().await;
    let mut theirs = Stream::plain(theirs);
    // Sent with the octets that begin the compression: it is compressed already.
    ours.send(b"clear");
    ours.flush().await.unwrap();
    while theirs.buffered().len() < 5 {
        theirs.fill().await.unwrap();
    }
    theirs.consume(5);
    ours.start_deflate();
    ours.send(b"NOOP\r\n");
    ours.flush().await.unwrap();
    theirs.fill().await.unwrap();
    theirs.start_deflate();
    while theirs.buffered().len() < 6 {
        theirs.fill().await.unwrap();
    }
    assert_eq!(theirs.buffered(), b"NOOP\r\n");
    let large: Vec<u8> = (0..1_000_000_u32).flat_map(|number| (number / 7).to_le_bytes()).collect();
    let sent = large.clone();
    let sending = tokio::spawn(async move {
        theirs.send(b"* ");
        theirs.flush_with(&[&sent]).await.unwrap();
        theirs
    });
    let mut got = Vec::new();
    while got.len() < large.len() + 2 {
        ours.fill().await.unwrap();
        got.extend_from_slice(ours.buffered());
        let count = ours.buffered().len();
        ours.consume(count);
    }
    assert_eq!((&got[..2], &got[2..]), (&b"* "[..], &large[..]));
    drop(sending.await.unwrap());
    assert_eq!(ours.fill().await.unwrap(), 0);
}

#[tokio::test]
async fn a_bomb_is_unpacked_no_further_than_the_buffer() {
    let (mut ours, theirs) = pair().await;
    let mut theirs = Stream::plain(theirs);
    ours.start_deflate();
    theirs.start_deflate();
    let sending = tokio::spawn(async move {
        let _ = theirs.flush_with(&[&vec![0; 50 << 20]]).await;
    });
    let refused = loop {
        if let Err(error) = ours.fill().await {
            break error;
        }
    };
    assert_eq!((refused.kind(), ours.buffered().len()), (io::ErrorKind::InvalidData, BUFFER_MAX));
    drop(ours);
    sending.await.unwrap();
}

#[tokio::test]
async fn what_is_not_deflate_is_refused() {
    let (mut ours, mut theirs) = pair().await;
    ours.start_deflate();
    theirs.write_all(b"a NOOP\r\nb NOOP\r\n").await.unwrap();
    assert_eq!(ours.fill().await.unwrap_err().kind(), io::ErrorKind::InvalidData);
}
