use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

/// Who a client of the API server is: the common name is the user, the organisation its group.
pub(crate) struct User {
    /// What its files are called.
    pub(crate) name: &'static str,
    pub(crate) user: &'static str,
    pub(crate) group: Option<&'static str>,
}

/// May do everything.
pub(crate) const ADMIN: User = User { name: "admin", user: "admin", group: Some("system:masters") };

/// The users that a control plane itself has.
pub(crate) const USERS: [User; 5] = [
    ADMIN,
    User { name: "kube-controller-manager", user: "system:kube-controller-manager", group: None },
    User { name: "kube-scheduler", user: "system:kube-scheduler", group: None },
    User { name: "kubelet", user: "system:node:node", group: Some("system:nodes") },
    User { name: "kube-proxy", user: "system:kube-proxy", group: None },
];

/// Keys and certificates in a folder, PEM: `ca.crt`, `sa.key` with `sa.pub`, and `NAME.crt` with `NAME.key` for the API server and each of
/// [`USERS`]. The authority's own key is not kept.
pub(crate) struct Pki {
    folder: PathBuf,
}

/// Why there is no PKI.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PkiError {
    #[error("cannot make a key or a certificate")]
    Make(#[from] rcgen::Error),
    #[error("cannot write {}", file.display())]
    Write { file: PathBuf, source: io::Error },
}

impl Pki {
    /// Makes everything anew; `names` are those of the API server, DNS names or addresses.
    pub(crate) fn make(folder: PathBuf, names: &[String]) -> Result<Self, PkiError> {
        let (pki, authority) = Self::with_authority(folder)?;
        pki.server("apiserver", "kube-apiserver", names, &authority)?;
        for User { name, user, group } in USERS {
            let mut client = CertificateParams::new(Vec::new())?;
            client.distinguished_name = subject(user, group);
            client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            pki.leaf(name, client, &authority)?;
        }
        // Signs the tokens of service accounts.
        let tokens = KeyPair::generate()?;
        pki.write("sa.key", &tokens.serialize_pem())?;
        pki.write("sa.pub", &tokens.public_key_pem())?;
        Ok(pki)
    }

    /// An authority and `tls.crt` with `tls.key` alone, for these names.
    pub(crate) fn serving(folder: PathBuf, names: &[String]) -> Result<Self, PkiError> {
        let (pki, authority) = Self::with_authority(folder)?;
        pki.server("tls", "server", names, &authority)?;
        Ok(pki)
    }

    fn with_authority(folder: PathBuf) -> Result<(Self, CertifiedIssuer<'static, KeyPair>), PkiError> {
        fs::create_dir_all(&folder).map_err(|source| PkiError::Write { file: folder.clone(), source })?;
        let pki = Self { folder };
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.distinguished_name = subject("test-cluster", None);
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        pki.write("ca.crt", &authority.pem())?;
        Ok((pki, authority))
    }

    fn server(
        &self,
        file: &str,
        subject_name: &str,
        names: &[String],
        authority: &CertifiedIssuer<'_, KeyPair>,
    ) -> Result<(), PkiError> {
        let mut server = CertificateParams::new(names)?;
        server.distinguished_name = subject(subject_name, None);
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.leaf(file, server, authority)
    }

    fn leaf(
        &self,
        name: &str,
        mut certificate: CertificateParams,
        authority: &CertifiedIssuer<'_, KeyPair>,
    ) -> Result<(), PkiError> {
        certificate.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        self.write(&format!("{name}.crt"), &certificate.signed_by(&key, authority)?.pem())?;
        self.write(&format!("{name}.key"), &key.serialize_pem())
    }

    fn write(&self, name: &str, text: &str) -> Result<(), PkiError> {
        let file = self.file(name);
        write_private(&file, text).map_err(|source| PkiError::Write { file, source })
    }

    /// Where a file is.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// Writes a file that only its owner may read.
pub(crate) fn write_private(file: &Path, text: &str) -> io::Result<()> {
    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file)?.write_all(text.as_bytes())
}

fn subject(user: &str, group: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, user);
    if let Some(group) = group {
        name.push(DnType::OrganizationName, group);
    }
    name
}
