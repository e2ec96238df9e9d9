//! The command line's grammar, with its help.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use super::message::MessageCommand;
use super::profile::ProfileCommand;
use crate::{config, operate};

const EXAMPLES: &str = "\
Examples:
  wasmta                                   serve, with config/wasmta.toml and data/
  wasmta check-config                      is the configuration right?
  wasmta user add anna@example.org         a new mailbox (the password is read from standard input)
  wasmta explain anna+tag@example.org      where would mail for this address go, and why?
  wasmta queue list --domain elsewhere.example    what waits for that domain?
  wasmta mailbox import anna@example.org --from maildir:/home/anna/Maildir    mail moves in
  wasmta store backup /var/backups/today   a consistent copy, while the server runs
  wasmta plugin --help                     policy plugins: make, try and run them
  wasmta --port-offset 1000 --data data2   a second server beside the first

Commands find the running server through its data directory; without one, most read the same
directory themselves. They end with 0 when all that was asked is done, with 1 when something is not, or
is found to be wrong, and with 2 when the command line is not understood.";

/// A mail transfer agent with a message store, whose policy is programmable.
#[derive(Debug, Parser)]
#[command(name = "wasmta", version, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Arguments {
    /// The configuration.
    #[arg(long, global = true, value_name = "FILE", default_value = "config/wasmta.toml")]
    pub(crate) config: PathBuf,
    /// Where the server keeps everything; made by serving where it is absent.
    #[arg(long, global = true, value_name = "DIR", default_value = "data")]
    pub(crate) data: PathBuf,
    /// Ask by the socket for delegates: those who administer domains of their own, by who they are on this host.
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// Added to the port of every listener, so that several servers run side by side.
    #[arg(long, global = true, value_name = "N", default_value_t = 0)]
    pub(crate) port_offset: u16,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve mail: what happens without any command.
    Serve,
    /// Read the configuration and say everything that is wrong with it.
    CheckConfig,
    /// Have the running server take up the configuration anew (as SIGHUP does).
    ///
    /// The whole new configuration is taken, or the old one is kept and the reasons are printed.
    Reload,
    /// What the running server does and has done.
    Status(Format),
    /// Mail domains of the directory.
    #[command(subcommand)]
    Domain(DomainCommand),
    /// Users of the directory.
    #[command(subcommand)]
    User(UserCommand),
    /// Further addresses of users and groups.
    #[command(subcommand)]
    Alias(super::entry::AliasCommand),
    /// Groups and their members.
    #[command(subcommand)]
    Group(super::entry::GroupCommand),
    /// The directory as a whole: as LDIF, and changes by LDIF.
    #[command(subcommand)]
    Directory(super::entry::DirectoryCommand),
    /// What becomes of a user's mail: mailbox, forwards, automatic reply.
    #[command(subcommand)]
    Profile(ProfileCommand),
    /// Messages that wait: look at them, and act on them.
    #[command(subcommand)]
    Queue(QueueCommand),
    /// Where mail for an address would go, with every step that decides it.
    #[command(after_help = "\
Examples:
  wasmta explain user1+tag@example.org
  wasmta explain someone@elsewhere.example --from user1@example.org --source submission
  wasmta explain someone@elsewhere.example --client 192.0.2.7
  wasmta explain user1@example.org --from a@elsewhere.example --message mail.eml")]
    Explain {
        /// The recipient.
        address: String,
        /// The sender; `<>` for a report.
        #[arg(long, value_name = "ADDRESS", default_value = "<>")]
        from: String,
        /// The channel that the message would come in by.
        #[arg(long, value_name = "CHANNEL", default_value = "smtp", value_parser = operate::SOURCES)]
        source: String,
        /// Login of who sends; by submission the user who has the sender's address, where absent.
        #[arg(long, value_name = "LOGIN")]
        account: Option<String>,
        /// Address of the client, which may be one that `smtp.relay-from` lets send anywhere.
        #[arg(long, value_name = "ADDRESS")]
        client: Option<IpAddr>,
        /// A file with the message (16 MiB at most), `-` for the input: for the plugins that look at it.
        #[arg(long, value_name = "FILE")]
        message: Option<PathBuf>,
        #[command(flatten)]
        format: Format,
    },
    /// Messages that were accepted.
    #[command(subcommand)]
    Message(MessageCommand),
    /// Policy plugins: for authors, to make and try them without a server; for operators, to run them.
    #[command(
        subcommand,
        after_help = "\
Examples:
  wasmta plugin new moved --lang rust --role rewrite     a project with cases that pass
  wasmta plugin build moved                              its component
  wasmta plugin test moved                               its cases
  wasmta plugin run moved rewrite --address a@b.example  one call
  wasmta plugin docs                                     the author's manual
  wasmta plugin install moved/target/moved.wasm          into the server"
    )]
    Plugin(super::plugin::PluginCommand),
    /// Lists: tokens by which members are taken out of them.
    #[command(subcommand)]
    List(super::list::ListCommand),
    /// Programs that users may have their mail delivered to.
    #[command(subcommand)]
    Program(super::program::ProgramCommand),
    /// The directory and the LDAP servers it mirrors: make them alike, or see how they stand.
    #[command(subcommand)]
    Sync(super::sync::SyncCommand),
    /// Mailboxes: look at them, and move mail in and out.
    #[command(subcommand)]
    Mailbox(super::mailbox::MailboxCommand),
    /// The storage: what it takes up, backup and restore.
    #[command(subcommand)]
    Store(super::store::StoreCommand),
    /// Mailboxes that several people read: make them, and say who may do what.
    #[command(subcommand)]
    Share(super::share::ShareCommand),
    /// Log-ins: who is logged in, and who is refused for wrong passwords.
    #[command(subcommand)]
    Login(super::login::LoginCommand),
    /// Check the store: every mailbox, message and content against each other.
    Check(Format),
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Format {
    /// JSON for programs, instead of text for people.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DomainCommand {
    /// Add a mail domain: the directory entries that it lacks, parents first. Broken off, the same command goes on.
    Add {
        /// Its name.
        domain: String,
        /// Who reads mail for its postmaster; the server's own postmaster where absent.
        #[arg(long, value_name = "ADDRESS")]
        administrator: Option<String>,
    },
    /// Show a domain's entry.
    Show {
        /// Its name.
        domain: String,
        #[command(flatten)]
        format: Format,
    },
    /// Show a domain's own table: the rows of its entries, and which entry each comes from.
    Rows {
        /// Its name.
        domain: String,
        #[command(flatten)]
        format: Format,
    },
    /// Compare a domain's entry, DNS tables, the routing tables and the DNS, and say what to mend; exit status 1 where something
    /// is wrong.
    Check {
        /// Its name.
        domain: String,
        #[command(flatten)]
        format: Format,
    },
    /// Publish a domain's records in the DNS again: where they were lost at the name server that has them.
    Publish {
        /// Its name.
        domain: String,
    },
    /// List all domains: those of entries, and those that DNS tables lead here.
    List(Format),
    /// Set attributes, as ATTRIBUTE=VALUE; an empty value removes one.
    #[command(after_help = "\
Examples:
  wasmta domain set club.example mailDomainStatus=inactive
  wasmta domain set club.example mailDomainCatchallAddress=anna@club.example associatedDomain=club.test")]
    Set(super::entry::Set),
    /// Remove a domain. Users and groups keep it from being removed, unless they are to go too; entries that are not mail's
    /// (devices, people without mail) in any case.
    Remove {
        /// Its name.
        domain: String,
        /// Remove its users and groups too. Without --mail their mailboxes stay.
        #[arg(long)]
        with_users: bool,
        /// Remove the mailboxes of its users with all messages.
        #[arg(long, requires = "with_users")]
        mail: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Add a user with a mailbox.
    #[command(after_help = "\
Examples:
  wasmta user add anna@example.org --name \"Anna Ahl\"      asks for the password
  echo secret | wasmta user add anna@example.org")]
    Add {
        /// Address, and name to log in with.
        address: String,
        /// The person's name.
        #[arg(long, default_value = "")]
        name: String,
        #[command(flatten)]
        password: Password,
    },
    /// List users.
    List {
        /// Only those of this domain.
        domain: Option<String>,
        #[command(flatten)]
        format: Format,
    },
    /// Set attributes, as ATTRIBUTE=VALUE; an empty value removes one. What becomes of the mail is set by
    /// `wasmta profile`, passwords by `wasmta user passwd`, addresses by `wasmta alias`.
    #[command(after_help = "\
Examples:
  wasmta user set anna@example.org mailUserStatus=inactive
  wasmta user set anna@example.org mailQuota=2G mailMsgQuota=
  wasmta user set anna@example.org --any telephoneNumber='+47 22 12 34 56'")]
    Set(super::entry::Set),
    /// Show a user's entry, passwords apart.
    Show {
        /// The address.
        address: String,
        #[command(flatten)]
        format: Format,
    },
    /// Set a user's password.
    Passwd {
        /// The address.
        address: String,
        #[command(flatten)]
        password: Password,
    },
    /// Remove a user from the directory. With --mail its mailboxes go too, also later.
    Remove {
        /// The address; `account:ADDRESS` for mailboxes that are left under it, whoever has it now.
        address: String,
        /// Remove the mailboxes with all messages.
        #[arg(long)]
        mail: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Password {
    /// The password; others may see it in the list of processes. Without it, standard input is read.
    #[arg(long, value_name = "PASSWORD")]
    pub(crate) password: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum QueueCommand {
    /// List waiting messages.
    List {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        format: Format,
    },
    /// Show one message with all its recipients and their last attempts.
    Show {
        /// The queue id.
        id: String,
        #[command(flatten)]
        format: Format,
    },
    /// Count what waits, by channel and next hop.
    Summary(Format),
    /// Park recipients until they are released.
    Hold(Chosen),
    /// Let parked recipients go on: as if what has parked them were not there.
    ///
    /// What a rule, a plugin, a status or a delivery option has parked is decided on anew, without this one. Everything else
    /// counts as it is now, and may refuse or park it again; `queue list` names what holds it then, and it can be released from
    /// that, too.
    Release(Chosen),
    /// Try again now, also where the destination rests because it could not be reached.
    Retry(Chosen),
    /// Give up: each sender gets a report of failure.
    Bounce(Chosen),
    /// Delete without a report.
    ///
    /// A message that is named and cannot be read is taken out, too; what is there of it is kept in `data/repaired-TIME`.
    Delete(Chosen),
    /// Send what waits another way. That route stays, whatever rules and directory say, until
    /// `--to reprocess` has them asked anew.
    #[command(after_help = "\
Examples:
  wasmta queue reroute --domain partner.example --to smtp:relay.example.net:587
  wasmta queue reroute --domain partner.example --to reprocess")]
    Reroute {
        #[command(flatten)]
        chosen: Chosen,
        /// The new route: CHANNEL, CHANNEL:HOST or CHANNEL:HOST:PORT.
        #[arg(long, value_name = "ROUTE")]
        to: String,
    },
}

/// What to act on, and how to answer.
#[derive(Debug, Args)]
pub(crate) struct Chosen {
    #[command(flatten)]
    pub(crate) which: Which,
    #[command(flatten)]
    pub(crate) format: Format,
}

/// Which recipients of which messages: all that meet every condition given. Other recipients of the same
/// message are left as they are.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// Queue ids.
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<String>,
    /// Every message.
    #[arg(long)]
    pub(crate) all: bool,
    /// Sent by this address; `*` in it stands for anything, `<>` for the sender of reports.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) sender: Option<String>,
    /// Only this recipient; `*` in it stands for anything.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) recipient: Option<String>,
    /// Only recipients in this domain.
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) domain: Option<String>,
    /// Only recipients that go by this channel.
    #[arg(long, value_name = "CHANNEL")]
    pub(crate) channel: Option<String>,
    /// Waiting for at least this long, as "2 h".
    #[arg(long, value_name = "TIME", value_parser = config::parse_duration)]
    pub(crate) age: Option<Duration>,
}
