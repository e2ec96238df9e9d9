//! The providers that can hold what mail needs: MX and TXT records, beside records of others at the same name.
//!
//! Of the library's providers those are missing that it says hold texts alone (DDNSS, DuckDNS, FreeMyIP, Hurricane Electric,
//! IPv64).

use dns_update::DnsUpdater as Up;

use crate::constructors::{self, CALL};
use crate::credentials::Credentials;
use crate::provider::{Key, KeyKind, Provider};

const fn key(name: &'static str, kind: KeyKind, about: &'static str) -> Key {
    Key { name, kind, is_required: true, about }
}

const fn secret(name: &'static str, about: &'static str) -> Key {
    key(name, KeyKind::Secret, about)
}

const fn text(name: &'static str, about: &'static str) -> Key {
    key(name, KeyKind::Text, about)
}

/// A key that may be left out.
const fn maybe(key: Key) -> Key {
    Key { is_required: false, ..key }
}

const fn flag(name: &'static str, about: &'static str) -> Key {
    maybe(key(name, KeyKind::Flag, about))
}

/// What most of them want.
const TOKEN: &[Key] = &[secret("api-token", "a token that may edit the zones")];
const API_KEY: &[Key] = &[secret("api-key", "a key that may edit the zones")];
const KEY_AND_SECRET: &[Key] = &[secret("api-key", "the key"), secret("api-secret", "its secret")];
const ACCESS_KEY: &[Key] = &[secret("access-key", "the key's id"), secret("secret-key", "its secret")];
const USER_AND_PASSWORD: &[Key] = &[text("username", "who logs in"), secret("password", "the password")];
const USER_AND_KEY: &[Key] =
    &[text("username", "whose key it is"), secret("api-key", "a key that may edit the zones")];

type Make = fn(&Credentials) -> dns_update::Result<Up>;

const fn row(name: &'static str, title: &'static str, keys: &'static [Key], make: Make) -> Provider {
    Provider { name, title, keys, make }
}

/// All of them, by name.
pub static PROVIDERS: &[Provider] = &[
    row(
        "alidns",
        "Alibaba Cloud DNS",
        &[
            secret("access-key", "the key's id"),
            secret("secret-key", "its secret"),
            maybe(text("region", "as cn-hangzhou")),
            maybe(secret("security-token", "of a temporary key")),
            maybe(text("line", "the line that records are for")),
        ],
        |c| {
            let (region, token, line) =
                (c.optional("region"), c.optional("security-token"), c.optional("line"));
            Up::new_alidns(c.text("access-key"), c.text("secret-key"), region, token, line, CALL)
        },
    ),
    row("arvancloud", "ArvanCloud", API_KEY, |c| Up::new_arvancloud(c.text("api-key"), CALL)),
    row(
        "autodns",
        "InterNetX AutoDNS",
        &[
            text("username", "who logs in"),
            secret("password", "the password"),
            maybe(key("context", KeyKind::Number, "the context; default: 4")),
        ],
        |c| {
            let context = c.optional("context").and_then(|number| number.parse().ok());
            Up::new_autodns(c.text("username"), c.text("password"), context, CALL)
        },
    ),
    row(
        "azure",
        "Azure DNS",
        &[
            text("tenant-id", "the directory's id"),
            text("client-id", "the application's id"),
            secret("client-secret", "its secret"),
            text("subscription-id", "the subscription of the zones"),
            text("resource-group", "the resource group of the zones"),
            maybe(text("environment", "public, china or usgovernment; default: public")),
        ],
        constructors::azure,
    ),
    row("baiducloud", "Baidu Cloud DNS", ACCESS_KEY, |c| {
        Up::new_baiducloud(c.text("access-key"), c.text("secret-key"), CALL)
    }),
    row(
        "bluecat",
        "BlueCat Address Manager",
        &[
            text("url", "where it answers, as https://bam.example"),
            text("username", "who logs in"),
            secret("password", "the password"),
            text("configuration", "the configuration of the zones"),
            text("view", "the view of the zones"),
            flag("skip-deploy", "leave deploying to somebody else"),
        ],
        constructors::bluecat,
    ),
    row("bunny", "Bunny DNS", API_KEY, |c| Up::new_bunny(c.text("api-key"), CALL)),
    row("cloudflare", "Cloudflare", TOKEN, |c| Up::new_cloudflare(c.text("api-token"), CALL)),
    row(
        "cloudns",
        "ClouDNS",
        &[
            maybe(text("auth-id", "the user's id; or else the other")),
            maybe(text("sub-auth-id", "the id of a user below it")),
            secret("auth-password", "the password"),
        ],
        |c| Up::new_cloudns(c.optional("auth-id"), c.optional("sub-auth-id"), c.text("auth-password"), CALL),
    ),
    row("constellix", "Constellix", KEY_AND_SECRET, |c| {
        Up::new_constellix(c.text("api-key"), c.text("api-secret"), CALL)
    }),
    row(
        "cpanel",
        "cPanel",
        &[
            text("url", "where it answers, as https://host.example:2083"),
            text("username", "whose token it is"),
            secret("api-token", "a token that may edit the zones"),
        ],
        |c| Up::new_cpanel(c.text("url"), c.text("username"), c.text("api-token"), CALL),
    ),
    row("desec", "deSEC", TOKEN, |c| Up::new_desec(c.text("api-token"), CALL)),
    row("digitalocean", "DigitalOcean", TOKEN, |c| Up::new_digitalocean(c.text("api-token"), CALL)),
    row(
        "dnsimple",
        "DNSimple",
        &[
            secret("api-token", "a token that may edit the zones"),
            text("account-id", "the number of the account"),
        ],
        |c| Up::new_dnsimple(c.text("api-token"), c.text("account-id"), CALL),
    ),
    row("dnsmadeeasy", "DNS Made Easy", KEY_AND_SECRET, |c| {
        Up::new_dnsmadeeasy(c.text("api-key"), c.text("api-secret"), CALL)
    }),
    row(
        "domeneshop",
        "Domeneshop",
        &[secret("api-token", "the token"), secret("api-secret", "its secret")],
        |c| Up::new_domeneshop(c.text("api-token"), c.text("api-secret"), CALL),
    ),
    row("dreamhost", "DreamHost", API_KEY, |c| Up::new_dreamhost(c.text("api-key"), CALL)),
    row("dynu", "Dynu", API_KEY, |c| Up::new_dynu(c.text("api-key"), CALL)),
    row("easydns", "EasyDNS", &[secret("api-token", "the token"), secret("api-key", "its key")], |c| {
        Up::new_easydns(c.text("api-token"), c.text("api-key"), CALL)
    }),
    row(
        "edgedns",
        "Akamai Edge DNS",
        &[
            text("host", "of the API client, as akab-….luna.akamaiapis.net"),
            secret("client-token", "the client's token"),
            secret("client-secret", "its secret"),
            secret("access-token", "the access token"),
            maybe(secret("account-switch-key", "to act for another account")),
        ],
        constructors::edgedns,
    ),
    row("exoscale", "Exoscale", KEY_AND_SECRET, |c| {
        Up::new_exoscale(c.text("api-key"), c.text("api-secret"), CALL)
    }),
    row("gandi", "Gandi LiveDNS", TOKEN, |c| Up::new_gandiv5(c.text("api-token"), CALL)),
    row("gcore", "Gcore", TOKEN, |c| Up::new_gcore(c.text("api-token"), CALL)),
    row("glesys", "GleSYS", USER_AND_KEY, |c| Up::new_glesys(c.text("username"), c.text("api-key"), CALL)),
    row("godaddy", "GoDaddy", KEY_AND_SECRET, |c| {
        Up::new_godaddy(c.text("api-key"), c.text("api-secret"), CALL)
    }),
    row(
        "google",
        "Google Cloud DNS",
        &[
            secret("service-account", "the service account's key in JSON, as '''{ … }'''"),
            text("project", "the project of the zones"),
            maybe(text("managed-zone", "its name; default: the longest that fits")),
            flag("private-zone", "private zones alone"),
            maybe(text("impersonate", "the address of a service account to act for")),
        ],
        constructors::google,
    ),
    row("hetzner", "Hetzner DNS", TOKEN, |c| Up::new_hetzner(c.text("api-token"), CALL)),
    row("hostingde", "hosting.de", API_KEY, |c| Up::new_hostingde(c.text("api-key"), CALL)),
    row("hostinger", "Hostinger", TOKEN, |c| Up::new_hostinger(c.text("api-token"), CALL)),
    row(
        "huaweicloud",
        "Huawei Cloud DNS",
        &[
            secret("access-key", "the key's id"),
            secret("secret-key", "its secret"),
            text("region", "as eu-west-101"),
        ],
        |c| Up::new_huaweicloud(c.text("access-key"), c.text("secret-key"), c.text("region"), CALL),
    ),
    row("ibmcloud", "IBM Cloud", USER_AND_KEY, |c| {
        Up::new_ibmcloud(c.text("username"), c.text("api-key"), CALL)
    }),
    row(
        "infoblox",
        "Infoblox NIOS",
        &[
            text("host", "where it answers"),
            maybe(text("port", "default: 443")),
            text("username", "who logs in"),
            secret("password", "the password"),
            maybe(text("wapi-version", "of the interface")),
            maybe(text("view", "the view of the zones; default: External")),
        ],
        constructors::infoblox,
    ),
    row("infomaniak", "Infomaniak", TOKEN, |c| Up::new_infomaniak(c.text("api-token"), CALL)),
    row(
        "inwx",
        "INWX",
        &[
            text("username", "who logs in"),
            secret("password", "the password"),
            flag("sandbox", "the provider's place for tests"),
        ],
        |c| Up::new_inwx(c.text("username"), c.text("password"), c.is_set("sandbox"), CALL),
    ),
    row("ionos", "IONOS", API_KEY, |c| Up::new_ionos(c.text("api-key"), CALL)),
    row(
        "joker",
        "Joker",
        &[
            maybe(secret("api-key", "a key that may edit the zones; or else the two others")),
            maybe(text("username", "who logs in")),
            maybe(secret("password", "the password")),
        ],
        constructors::joker,
    ),
    row(
        "lightsail",
        "AWS Lightsail",
        &[
            secret("access-key", "the key's id"),
            secret("secret-key", "its secret"),
            maybe(secret("session-token", "of a temporary key")),
            maybe(text("region", "default: us-east-1")),
        ],
        constructors::lightsail,
    ),
    row("linode", "Linode", TOKEN, |c| Up::new_linode(c.text("api-token"), CALL)),
    row(
        "luadns",
        "LuaDNS",
        &[text("username", "whose token it is"), secret("api-token", "a token that may edit the zones")],
        |c| Up::new_luadns(c.text("username"), c.text("api-token"), CALL),
    ),
    row("mythicbeasts", "Mythic Beasts", USER_AND_PASSWORD, |c| {
        Up::new_mythicbeasts(c.text("username"), c.text("password"), CALL)
    }),
    row(
        "namecheap",
        "Namecheap (no SRV records)",
        &[
            text("api-user", "whose key it is"),
            secret("api-key", "the key"),
            text("client-ip", "the address that this host is seen with, as the provider's list allows it"),
            maybe(text("username", "whose zones they are; default: api-user")),
        ],
        |c| {
            let (user, address) = (c.optional("username"), c.text("client-ip"));
            Up::new_namecheap(c.text("api-user"), c.text("api-key"), address, user, CALL)
        },
    ),
    row(
        "namedotcom",
        "Name.com",
        &[text("username", "whose token it is"), secret("api-token", "a token that may edit the zones")],
        |c| Up::new_namedotcom(c.text("username"), c.text("api-token"), CALL),
    ),
    row("namesilo", "NameSilo", API_KEY, |c| Up::new_namesilo(c.text("api-key"), CALL)),
    row(
        "netcup",
        "netcup",
        &[
            text("customer-number", "the customer's number"),
            secret("api-key", "the key"),
            secret("api-password", "its password"),
        ],
        |c| Up::new_netcup(c.text("customer-number"), c.text("api-key"), c.text("api-password"), CALL),
    ),
    row("netlify", "Netlify", TOKEN, |c| Up::new_netlify(c.text("api-token"), CALL)),
    row("nifcloud", "Nifcloud DNS (no SRV records)", ACCESS_KEY, |c| {
        Up::new_nifcloud(c.text("access-key"), c.text("secret-key"), CALL)
    }),
    row("ns1", "NS1", API_KEY, |c| Up::new_ns1(c.text("api-key"), CALL)),
    row(
        "oraclecloud",
        "Oracle Cloud DNS",
        &[
            text("tenancy", "the tenancy's OCID"),
            text("user", "the user's OCID"),
            text("fingerprint", "of the user's key"),
            secret("private-key", "the key in PEM (PKCS#8, no passphrase), as '''…'''"),
            text("region", "as eu-frankfurt-1"),
            text("compartment", "the OCID of the zones' compartment"),
        ],
        constructors::oraclecloud,
    ),
    row(
        "ovh",
        "OVH",
        &[
            secret("application-key", "the application's key"),
            secret("application-secret", "its secret"),
            secret("consumer-key", "the key of who allowed it"),
            maybe(text("endpoint", "ovh-eu, ovh-us, ovh-ca, kimsufi-eu, …; default: ovh-eu")),
        ],
        |c| {
            let endpoint = c.optional("endpoint").unwrap_or("ovh-eu").parse()?;
            let application = (c.text("application-key"), c.text("application-secret"));
            Up::new_ovh(application.0, application.1, c.text("consumer-key"), endpoint, CALL)
        },
    ),
    row(
        "pdns",
        "PowerDNS Authoritative",
        &[
            secret("api-key", "as the server's own api-key"),
            maybe(text("url", "where it answers; default: http://localhost:8081")),
            maybe(text("server-id", "default: localhost")),
        ],
        |c| Up::new_pdns(c.text("api-key"), c.optional("url"), c.optional("server-id"), CALL),
    ),
    row(
        "plesk",
        "Plesk",
        &[
            text("url", "where it answers, as https://host.example:8443"),
            secret("api-key", "a key that may edit the zones"),
        ],
        |c| Up::new_plesk(c.text("url"), c.text("api-key"), CALL),
    ),
    row("porkbun", "Porkbun", KEY_AND_SECRET, |c| {
        Up::new_porkbun(c.text("api-key"), c.text("api-secret"), CALL)
    }),
    row(
        "route53",
        "AWS Route 53",
        &[
            secret("access-key", "the key's id"),
            secret("secret-key", "its secret"),
            maybe(secret("session-token", "of a temporary key")),
            maybe(text("region", "default: us-east-1")),
            maybe(text("hosted-zone", "its id; default: found by its name")),
            flag("private-zone", "private zones alone"),
        ],
        constructors::route53,
    ),
    row("safedns", "ANS SafeDNS", TOKEN, |c| Up::new_safedns(c.text("api-token"), CALL)),
    row("scaleway", "Scaleway", TOKEN, |c| Up::new_scaleway(c.text("api-token"), CALL)),
    row(
        "selectel",
        "Selectel",
        &[
            text("username", "the service user"),
            secret("password", "its password"),
            text("account-id", "the number of the account"),
            text("project-id", "the project of the zones"),
        ],
        |c| {
            let project = c.text("project-id");
            Up::new_selectel(c.text("username"), c.text("password"), c.text("account-id"), project, CALL)
        },
    ),
    row("simplycom", "Simply.com", USER_AND_KEY, |c| {
        Up::new_simplycom(c.text("username"), c.text("api-key"), CALL)
    }),
    row("spaceship", "Spaceship", KEY_AND_SECRET, |c| {
        Up::new_spaceship(c.text("api-key"), c.text("api-secret"), CALL)
    }),
    row(
        "tencentcloud",
        "Tencent Cloud DNSPod",
        &[
            secret("secret-id", "the key's id"),
            secret("secret-key", "its secret"),
            maybe(text("region", "as ap-guangzhou")),
            maybe(secret("session-token", "of a temporary key")),
        ],
        |c| {
            let (region, token) = (c.optional("region"), c.optional("session-token"));
            Up::new_tencentcloud(c.text("secret-id"), c.text("secret-key"), region, token, CALL)
        },
    ),
    row(
        "transip",
        "TransIP",
        &[
            text("login", "whose key it is"),
            secret("private-key", "the key in PEM, as '''…'''"),
            flag("global-key", "a key for all addresses"),
        ],
        |c| Up::new_transip(c.text("login"), c.text("private-key"), c.is_set("global-key"), CALL),
    ),
    row(
        "ultradns",
        "UltraDNS",
        &[
            text("username", "who logs in"),
            secret("password", "the password"),
            maybe(text("url", "where it answers; default: the provider's own")),
        ],
        |c| {
            let url = c.optional("url").map(str::to_owned);
            Up::new_ultradns(c.text("username"), c.text("password"), url, CALL)
        },
    ),
    row(
        "vercel",
        "Vercel",
        &[
            secret("api-token", "a token that may edit the zones"),
            maybe(text("team-id", "the team of the zones")),
        ],
        |c| Up::new_vercel(c.text("api-token"), c.optional("team-id"), CALL),
    ),
    row(
        "volcengine",
        "Volcano Engine",
        &[
            secret("access-key", "the key's id"),
            secret("secret-key", "its secret"),
            maybe(text("region", "default: the provider's own")),
        ],
        constructors::volcengine,
    ),
    row("vultr", "Vultr", API_KEY, |c| Up::new_vultr(c.text("api-key"), CALL)),
    row("websupport", "Websupport", KEY_AND_SECRET, |c| {
        Up::new_websupport(c.text("api-key"), c.text("api-secret"), CALL)
    }),
    row(
        "yandexcloud",
        "Yandex Cloud DNS",
        &[
            secret("service-account-key", "the service account's authorized key in JSON, in base64"),
            text("folder-id", "the folder of the zones"),
        ],
        constructors::yandexcloud,
    ),
    row("zoneeu", "Zone.eu", USER_AND_KEY, |c| Up::new_zoneeu(c.text("username"), c.text("api-key"), CALL)),
];
