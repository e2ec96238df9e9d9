"""A real slapd on the loopback, in a folder of its own, ended by its own process id."""

import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
# The administrator sees and writes everything; the reader sees what the rules show.
ADMIN, READER, PASSWORD = "cn=admin,o=isp", "cn=reader,o=isp", "secret"
SCHEMAS = Path("/etc/ldap/schema")
START_SECONDS_MAX = 20

# The organisation tree and the DC tree are two databases, as at sites that have both.
DATABASE = """
database mdb
suffix {suffix}
rootdn {admin}
rootpw {password}
directory {folder}
maxsize 1073741824
dbnosync
index objectClass,entryUUID,entryCSN,modifyTimestamp eq
{replication}{syncprov}
access to * by * read
"""

# One of two servers that both write, and follow each other.
REPLICATION = """syncrepl rid=00{rid} provider={other} type=refreshAndPersist retry="1 +" searchbase="{suffix}"
  bindmethod=simple binddn="{admin}" credentials={password}
multiprovider on
"""
# A consumer that writers are sent on from; nobody is where it asks for changes.
CONSUMER = """syncrepl rid=00{rid} provider=ldap://127.0.0.1:1 type=refreshAndPersist retry="60 +" searchbase="{suffix}"
  bindmethod=simple binddn="{admin}" credentials={password}
updateref {other}
"""


class Slapd:
    """One server; `live` says whether it offers RFC 4533."""

    def __init__(self, folder, port, live=True, tls_port=None, suffixes=("o=isp", "o=internet")):
        self.suffixes, self.admin = suffixes, f"cn=admin,{suffixes[0]}"
        self.folder, self.port, self.live, self.tls_port = Path(folder), port, live, tls_port
        self.process = None
        # Its number among the servers that write, and the other's address.
        self.writes = None
        # Where writers are sent on to: then it is a consumer, which learns of nothing by itself.
        self.refers = None
        self.url = f"ldap://127.0.0.1:{port}"
        self.folder.mkdir(parents=True, exist_ok=True)

    def configure(self):
        syncprov = "overlay syncprov\nsyncprov-sessionlog 1000" if self.live else ""
        databases = ""
        for number, suffix in enumerate(self.suffixes):
            folder = self.folder / suffix.replace("=", "-")
            folder.mkdir(exist_ok=True)
            admin = f"cn=admin,{suffix}"
            kind, other = (CONSUMER, self.refers) if self.refers else (REPLICATION, self.writes and self.writes[1])
            replication = "" if other is None else kind.format(
                rid=number, other=other, suffix=suffix, admin=self.admin, password=PASSWORD
            )
            databases += DATABASE.format(
                suffix=suffix, admin=admin, password=PASSWORD, folder=folder, syncprov=syncprov, replication=replication
            )
        modules = "modulepath /usr/lib/ldap\nmoduleload back_mdb\n" + ("moduleload syncprov\n" if self.live else "")
        schemas = [SCHEMAS / f"{name}.schema" for name in ("core", "cosine", "inetorgperson")] + [HERE / "mail.schema"]
        includes = "".join(f"include {schema}\n" for schema in schemas)
        tls = "" if self.tls_port is None else self.certificates()
        writer = "" if self.writes is None else f"serverID {self.writes[0]}\n"
        head = f"{includes}{tls}{writer}pidfile {self.folder}/slapd.pid\n{modules}sizelimit unlimited\n"
        # The one administrator writes to both trees.
        grant = f'access to * by dn.exact="{self.admin}" write by * read\n'
        text = head + "database config\nrootdn cn=config\nrootpw secret\n" + databases.replace("access to * by * read\n", grant)
        (self.folder / "slapd.conf").write_text(text)

    def certificates(self):
        """An authority, and a certificate of it for this machine; the lines that name them."""
        def openssl(*words):
            subprocess.run(["openssl", *words], cwd=self.folder, check=True, capture_output=True)

        new = ["-newkey", "rsa:2048", "-nodes", "-days", "2"]
        openssl("req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test authority")
        openssl("req", *new, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
        (self.folder / "names").write_text("subjectAltName = DNS:localhost, IP:127.0.0.1\n")
        openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "2", "-extfile", "names",
                "-out", "server.pem")
        named = {"CACertificateFile": "ca.pem", "CertificateFile": "server.pem", "CertificateKeyFile": "server.key"}
        return "".join(f"TLS{name} {self.folder}/{file}\n" for name, file in named.items())

    def load(self, entries):
        """Fills both trees from a list of LDIF entries; slapd must not run."""
        self.configure()
        for suffix in self.suffixes:
            own = [entry for entry in entries if entry.split("\n", 1)[0].endswith(suffix)]
            ldif = self.folder / "load.ldif"
            ldif.write_text("\n".join(own))
            subprocess.run(
                ["slapadd", "-q", "-f", str(self.folder / "slapd.conf"), "-b", suffix, "-l", str(ldif)],
                check=True, capture_output=True, text=True,
            )

    def dump(self):
        """A backup of both trees; slapd must not run."""
        dumps = []
        for number, suffix in enumerate(self.suffixes):
            dumps.append(self.folder / f"dump{number}.ldif")
            words = ["slapcat", "-f", str(self.folder / "slapd.conf"), "-b", suffix, "-l", str(dumps[-1])]
            subprocess.run(words, check=True, capture_output=True)
        return dumps

    def restore(self, dumps):
        """Puts a backup into empty trees; slapd must not run."""
        for suffix, dump in zip(self.suffixes, dumps):
            words = ["slapadd", "-q", "-f", str(self.folder / "slapd.conf"), "-b", suffix, "-l", str(dump)]
            subprocess.run(words, check=True, capture_output=True)

    def empty(self):
        """Removes what both trees hold; slapd must not run."""
        for suffix in self.suffixes:
            for file in (self.folder / suffix.replace("=", "-")).iterdir():
                file.unlink()

    def start(self):
        urls = self.url if self.tls_port is None else f"{self.url} ldaps://127.0.0.1:{self.tls_port}"
        self.process = subprocess.Popen(
            ["slapd", "-d", "0", "-f", str(self.folder / "slapd.conf"), "-h", urls],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + START_SECONDS_MAX
        while self.search(self.suffixes[0], "base").returncode != 0:
            if time.monotonic() > until or self.process.poll() is not None:
                raise AssertionError("slapd does not start")
            time.sleep(0.05)
        return self

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(START_SECONDS_MAX)
        self.process = None

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.process = None

    def tool(self, name, *words, stdin="", admin=None):
        return subprocess.run(
            [name, "-x", "-H", self.url, "-D", admin or self.admin, "-w", PASSWORD, *words],
            input=stdin, capture_output=True, text=True, timeout=60,
        )

    def must(self, name, *words, **options):
        done = self.tool(name, *words, **options)
        assert done.returncode == 0, f"{name} {words}: {done.stdout}{done.stderr}"
        return done.stdout

    def search(self, base, scope="sub", condition="(objectClass=*)", *attributes):
        return self.tool("ldapsearch", "-LLL", "-b", base, "-s", scope, condition, *attributes)

    def add(self, entry):
        self.must("ldapadd", stdin=entry)

    def delete(self, dn):
        self.must("ldapdelete", dn)

    def modify(self, dn, *changes):
        self.must("ldapmodify", stdin=f"dn: {dn}\nchangetype: modify\n" + "\n-\n".join(changes) + "\n")

    def move(self, dn, rdn, above):
        self.must("ldapmodrdn", "-r", "-s", above, dn, rdn)

    def rules(self, number, *rules):
        """Replaces the access rules of a database while it runs: nothing in any entry changes."""
        values = "\n".join(f"olcAccess: {{{at}}}{rule}" for at, rule in enumerate(rules))
        change = f"dn: olcDatabase={{{number}}}mdb,cn=config\nchangetype: modify\nreplace: olcAccess\n{values}\n"
        self.must("ldapmodify", stdin=change, admin="cn=config")


def attributes(**values):
    lines = []
    for name, value in values.items():
        lines += [f"{name}: {one}" for one in (value if isinstance(value, list) else [value])]
    return "\n".join(lines) + "\n"


def user(uid, domain="d0.test", mail=None, **further):
    """An entry of a user, with a hash of `password`."""
    classes = ["top", "person", "organizationalPerson", "inetOrgPerson", "inetUser", "inetMailUser"]
    values = {"objectClass": classes, "uid": uid, "cn": f"User {uid}", "sn": uid, "mail": mail or f"{uid}@{domain}",
              "userPassword": "{SSHA}yrht1iYXEIkejLVu42JWkadd80RzYWx0c2FsdA=="} | further
    return f"dn: {user_dn(uid, domain)}\n" + attributes(**values)


def user_dn(uid, domain="d0.test"):
    return f"uid={uid},ou=People,o={domain},o=isp"


def group(name, members, domain="d0.test", **further):
    values = {"objectClass": ["top", "groupOfUniqueNames", "inetMailGroup"], "cn": name, "mail": f"{name}@{domain}",
              "uniqueMember": members} | further
    return f"dn: {group_dn(name, domain)}\n" + attributes(**values)


def group_dn(name, domain="d0.test"):
    return f"cn={name},ou=Groups,o={domain},o=isp"


def domain_entries(domain):
    """A domain in both trees."""
    base = f"o={domain},o=isp"
    labels = domain.split(".")
    node = ",".join(f"dc={label}" for label in labels) + ",o=internet"
    classes = ["top", "organization", "sunManagedOrganization", "inetDomain", "mailDomain"]
    return [
        f"dn: {base}\n" + attributes(objectClass=classes, o=domain, sunPreferredDomain=domain,
                                     associatedDomain=f"alias-{domain}", mailDomainStatus="active"),
        f"dn: ou=People,{base}\n" + attributes(objectClass=["top", "organizationalUnit"], ou="People"),
        f"dn: ou=Groups,{base}\n" + attributes(objectClass=["top", "organizationalUnit"], ou="Groups"),
        f"dn: {node}\n" + attributes(objectClass=["top", "domain", "inetDomain"], dc=labels[0], inetDomainBaseDN=base),
    ]


def tree(domains=2, users=10):
    """The entries that every case begins with."""
    entries = [
        "dn: o=isp\n" + attributes(objectClass=["top", "organization"], o="isp"),
        f"dn: {READER}\n"
        + attributes(objectClass=["top", "organizationalRole", "simpleSecurityObject"], cn="reader", userPassword=PASSWORD),
        "dn: o=internet\n" + attributes(objectClass=["top", "organization"], o="internet"),
        "dn: dc=test,o=internet\n" + attributes(objectClass=["top", "domain"], dc="test"),
    ]
    for number in range(domains):
        domain = f"d{number}.test"
        entries += domain_entries(domain)
        entries += [user(f"u{one}", domain) for one in range(users)]
        entries.append(group("all", [user_dn("u0", domain), user_dn("u1", domain)], domain))
    return entries


if __name__ == "__main__":
    sys.exit("this is a part of tests/peers/ldap")
