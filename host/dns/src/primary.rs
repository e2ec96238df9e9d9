//! A zone's primary server, of which the zone is asked (RFC 5936, RFC 1995), signed where both sides have a key.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::rdata::SOA;
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType, SerialNumber};
use mail_types::Domain;
use runtime::{Clock, Random};

use crate::conversation::Conversation;
use crate::record::absolute;
use crate::resolver::BoxFuture;
use crate::table_source::{Asked, Content, FetchError, Fetched, Known, TableSource};
use crate::transfer::{Brought, Transfer, applied};
use crate::tsig::TsigKey;

/// How long the server may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How long a transfer may take.
const TRANSFER_MAX: Duration = Duration::from_secs(600);
/// How large a transfer may be, in octets.
const TRANSFER_OCTETS_MAX: usize = 1 << 30;

/// Where a zone is asked for.
#[derive(Debug, Clone)]
pub struct PrimaryOptions {
    /// The name of the table that is made of it, by which an operator orders something.
    pub table: String,
    /// The zone.
    pub zone: Domain,
    /// Its primary server.
    pub server: SocketAddr,
    /// The key; none where the server trusts addresses.
    pub key: Option<TsigKey>,
    /// No sooner than this it is asked again, whatever the zone says.
    pub again_min: Duration,
    /// No later than this it is asked again, whatever the zone says.
    pub again_max: Duration,
}

/// The primary server of a zone.
pub struct Primary {
    options: PrimaryOptions,
    zone: Name,
    clock: Clock,
    random: Random,
}

impl Primary {
    /// One that is asked from now on.
    ///
    /// # Errors
    /// A zone whose name is none of the DNS.
    pub fn new(options: PrimaryOptions, clock: Clock, random: Random) -> Result<Self, String> {
        let zone = absolute(options.zone.as_str())?;
        Ok(Self { options, zone, clock, random })
    }

    async fn ask(&self, known: Known<'_>, asked: Asked) -> Result<Fetched, String> {
        let now = self.version().await?;
        let known_serial = known.serial.filter(|_| asked == Asked::News);
        if let Some(serial) = known_serial {
            if serial == now.serial {
                return Ok(self.fetched(&now, Content::Same, 0));
            }
            // RFC 1982 §3.2: numbers are compared in a circle; two that are opposite are in no order.
            if SerialNumber::new(serial) > SerialNumber::new(now.serial) {
                return Err(format!(
                    "its version went back from {serial} to {}: if that is meant, `wasmta sync dns {}`",
                    now.serial, self.options.table
                ));
            }
            match self.transfer(Some(serial)).await {
                Ok((soa, Brought::Steps(steps), _)) => {
                    if let Some(after) = applied(steps, known.records) {
                        return Ok(self.fetched(&soa, Content::Changed(after), 0));
                    }
                }
                Ok((soa, Brought::Whole(whole), left_out)) => {
                    return Ok(self.fetched(&soa, Content::Whole(whole), left_out));
                }
                Ok((_, Brought::Nothing, _)) | Err(_) => {}
            }
        }
        // Differences are not offered, or are wrong, or are none to what we have: the whole zone says what is right.
        match self.transfer(None).await? {
            (soa, Brought::Whole(whole), left_out) => Ok(self.fetched(&soa, Content::Whole(whole), left_out)),
            _ => Err("its answer is no zone".to_owned()),
        }
    }

    fn fetched(&self, soa: &SOA, content: Content, left_out: u64) -> Fetched {
        let PrimaryOptions { again_min, again_max, .. } = self.options;
        // RFC 1035 §3.3.13 has them as numbers of 32 bits with a sign; a negative one is none.
        let seconds = |number: i32| Duration::from_secs(u64::try_from(number).unwrap_or(0));
        let bounded = |number| seconds(number).clamp(again_min, again_max);
        Fetched {
            serial: Some(soa.serial),
            content,
            again: bounded(soa.refresh),
            retry: bounded(soa.retry),
            expire: Some(seconds(soa.expire).max(again_min)),
            left_out,
            failures: Vec::new(),
        }
    }

    /// The newest version, as the server says with authority.
    async fn version(&self) -> Result<SOA, String> {
        let mut conversation = self.open().await?;
        conversation.ask(self.question(RecordType::SOA), self.options.key.as_ref(), &self.random).await?;
        let heard = timely(conversation.hear()).await?;
        self.refusal(heard.message.response_code)?;
        conversation.verify(&heard)?;
        conversation.end()?;
        let soa = heard.message.answers.iter().find_map(|record| match &record.data {
            RData::SOA(soa) if record.name == self.zone => Some(soa.clone()),
            _ => None,
        });
        match soa {
            Some(soa) if heard.message.metadata.authoritative => Ok(soa),
            _ => Err(format!("it has no authority for {}", self.options.zone)),
        }
    }

    /// The whole zone, or the differences to a version.
    async fn transfer(&self, known: Option<u32>) -> Result<(SOA, Brought, u64), String> {
        let whole = tokio::time::timeout(TRANSFER_MAX, self.transfer_at_leisure(known)).await;
        whole.map_err(|_| format!("the transfer took longer than {} s", TRANSFER_MAX.as_secs()))?
    }

    async fn transfer_at_leisure(&self, known: Option<u32>) -> Result<(SOA, Brought, u64), String> {
        let mut conversation = self.open().await?;
        let question = match known {
            None => self.question(RecordType::AXFR),
            Some(serial) => self.differences_to(serial),
        };
        conversation.ask(question, self.options.key.as_ref(), &self.random).await?;
        let mut transfer = Transfer::new(self.zone.clone(), known);
        let mut octets = 0_usize;
        loop {
            let heard = timely(conversation.hear()).await?;
            self.refusal(heard.message.response_code)?;
            conversation.verify(&heard)?;
            octets = octets.saturating_add(heard.len());
            if octets > TRANSFER_OCTETS_MAX {
                return Err(format!("the transfer is larger than {TRANSFER_OCTETS_MAX} octets"));
            }
            if transfer.take(&heard.message.answers)? {
                conversation.end()?;
                return transfer.finish();
            }
        }
    }

    async fn open(&self) -> Result<Conversation, String> {
        Conversation::open(self.options.server, SILENCE_MAX, self.clock.clone()).await
    }

    fn question(&self, kind: RecordType) -> Message {
        let mut message = Message::query();
        message.metadata.recursion_desired = false;
        let mut query = Query::new();
        query.set_name(self.zone.clone()).set_query_type(kind).set_query_class(DNSClass::IN);
        message.add_query(query);
        message
    }

    /// "With the query type being IXFR and the authority section containing the SOA record of client's version of the
    /// zone" (RFC 1995 §3). Of that record only the serial counts.
    fn differences_to(&self, serial: u32) -> Message {
        let mut message = self.question(RecordType::IXFR);
        let soa = SOA::new(Name::root(), Name::root(), serial, 0, 0, 0, 0);
        message.add_authority(Record::from_rdata(self.zone.clone(), 0, RData::SOA(soa)));
        message
    }

    /// What a response code means, and how to mend it (RFC 5936 §2.2.1 note e).
    fn refusal(&self, code: ResponseCode) -> Result<(), String> {
        let zone = &self.options.zone;
        match code {
            ResponseCode::NoError => Ok(()),
            ResponseCode::NotAuth | ResponseCode::BADSIG | ResponseCode::BADKEY => Err(format!(
                "it has no zone {zone}, or does not accept our key ({code}): compare key-file with its own, and the clocks"
            )),
            ResponseCode::Refused => {
                Err(format!("it does not give {zone} to us (REFUSED): see its allow-transfer, and key-file"))
            }
            other => Err(format!("{other}")),
        }
    }
}

/// The next message, if it comes in time.
async fn timely<T>(next: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    match tokio::time::timeout(SILENCE_MAX, next).await {
        Ok(next) => next,
        Err(_) => Err(format!("no answer within {} s", SILENCE_MAX.as_secs())),
    }
}

impl TableSource for Primary {
    fn fetch<'a>(&'a self, known: Known<'a>, asked: Asked) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        Box::pin(async move {
            let answer = self.ask(known, asked).await;
            answer.map_err(|why| FetchError(format!("{}: {why}", self.options.server)))
        })
    }

    fn fetch_one<'a>(
        &'a self,
        known: Known<'a>,
        _: &'a Domain,
    ) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        self.fetch(known, Asked::News)
    }

    fn asks_each(&self) -> bool {
        false
    }

    fn place(&self) -> String {
        format!("zone {} from {}", self.options.zone, self.options.server)
    }

    fn identity(&self) -> String {
        format!("zone {}", self.options.zone)
    }
}

#[cfg(test)]
mod tests;
