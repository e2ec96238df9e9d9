//! Questions and answers over one TCP connection (RFC 1035 §4.2.2), signed where there is a key.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::op::Message;
use runtime::{Clock, Random, Stream};

use crate::tsig::{Chain, TsigKey};

/// Longest message, in octets: what its length can say.
const MESSAGE_MAX: usize = u16::MAX as usize;

/// A connection to a name server.
pub(crate) struct Conversation {
    stream: Stream,
    clock: Clock,
    id: u16,
    chain: Option<Chain>,
}

/// A message that came.
pub(crate) struct Heard {
    pub(crate) message: Message,
    octets: Vec<u8>,
}

impl Heard {
    /// Its length, in octets.
    pub(crate) fn len(&self) -> usize {
        self.octets.len()
    }
}

impl Conversation {
    /// Connects.
    pub(crate) async fn open(server: SocketAddr, timeout: Duration, clock: Clock) -> Result<Self, String> {
        let stream = runtime::connect(server, None, timeout).await;
        let mut stream = stream.map_err(|why| why.to_string())?;
        stream.buffer_max(2 + MESSAGE_MAX);
        Ok(Self { stream, clock, id: 0, chain: None })
    }

    /// Sends a question, under an id that nobody guesses.
    pub(crate) async fn ask(
        &mut self,
        mut message: Message,
        key: Option<&TsigKey>,
        random: &Random,
    ) -> Result<(), String> {
        self.id = u16::try_from(random.u64() & 0xffff).unwrap_or_default();
        message.metadata.id = self.id;
        let now = self.seconds();
        self.chain = key.map(|key| Chain::begin(key, &mut message, now)).transpose()?;
        let octets = message.to_vec().map_err(|why| why.to_string())?;
        let length = u16::try_from(octets.len())
            .map_err(|_| format!("the question is larger than {MESSAGE_MAX} octets"))?;
        self.stream.send(&length.to_be_bytes());
        self.stream.send(&octets);
        self.stream.flush().await.map_err(|why| why.to_string())
    }

    /// The next message of the answer. Its signature is not looked at yet: of an error it may be missing.
    pub(crate) async fn hear(&mut self) -> Result<Heard, String> {
        let octets = loop {
            if let Some((length, rest)) = self.stream.buffered().split_first_chunk() {
                let length = usize::from(u16::from_be_bytes(*length));
                if let Some(octets) = rest.get(..length) {
                    let octets = octets.to_vec();
                    self.stream.consume(2 + length);
                    break octets;
                }
            }
            if self.stream.fill().await.map_err(|why| why.to_string())? == 0 {
                return Err("it closed the connection before the answer was complete".to_owned());
            }
        };
        let message = Message::from_vec(&octets).map_err(|why| format!("its answer: {why}"))?;
        if message.id != self.id {
            return Err("it answers another question".to_owned());
        }
        Ok(Heard { message, octets })
    }

    /// Verifies the signature of a message; every one has to pass here, in order.
    pub(crate) fn verify(&mut self, heard: &Heard) -> Result<(), String> {
        let now = self.seconds();
        let Some(chain) = &mut self.chain else { return Ok(()) };
        chain.take(&heard.octets, &heard.message, now).map_err(|why| format!("its signature: {why}"))
    }

    /// Says that the answer is complete.
    pub(crate) fn end(&self) -> Result<(), String> {
        self.chain.as_ref().map_or(Ok(()), Chain::end).map_err(|why| format!("its signature: {why}"))
    }

    fn seconds(&self) -> u64 {
        self.clock.now().0 / 1000
    }
}
