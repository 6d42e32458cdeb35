use std::sync::Arc;

use axum::http::StatusCode;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use rustls::ClientConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use tokio::io::AsyncReadExt;

use super::{options, roots, serve};
use crate::certificate::Generated;
use crate::server::{Clients, Options};

/// An authority of clients.
struct ClientAuthority {
    parameters: CertificateParams,
    key: KeyPair,
}

impl ClientAuthority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { parameters, key }
    }

    fn pem(&self) -> Vec<u8> {
        self.parameters.self_signed(&self.key).unwrap().pem().into_bytes()
    }

    /// A client that trusts `server` and shows a certificate with these names.
    fn client(&self, server: &Generated, common_name: &str, dns_names: &[&str]) -> reqwest::Client {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = dns_names.iter().map(|name| (*name).to_owned()).collect();
        let mut client = CertificateParams::new(names).unwrap();
        client.distinguished_name = DistinguishedName::new();
        client.distinguished_name.push(DnType::OrganizationName, "kube-apiserver");
        client.distinguished_name.push(DnType::CommonName, common_name);
        client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = client.signed_by(&key, &Issuer::from_params(&self.parameters, &self.key)).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots(&[server]))
            .with_client_auth_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap(),
            )
            .unwrap();
        super::client(config)
    }
}

#[tokio::test]
async fn a_client_authority_lets_in_its_own_only() {
    let authority = ClientAuthority::new();
    let clients = Clients { authority: authority.pem(), names: Vec::new() };
    let fixture = serve(Options { clients: Some(clients), ..options() }).await;

    // With TLS 1.3 a client learns of the refusal when it first reads.
    let mut stream = fixture.tls("http/1.1").await;
    assert!(stream.read(&mut [0; 1]).await.is_err());
    assert_eq!(fixture.rejected("handshake"), 1.0);

    let url = fixture.url("/length");
    let stranger = ClientAuthority::new().client(&fixture.certificate, "kube-apiserver", &[]);
    assert!(stranger.post(&url).send().await.is_err());
    let client = authority.client(&fixture.certificate, "anybody", &[]);
    assert_eq!(client.post(&url).send().await.unwrap().status(), StatusCode::OK);
    fixture.stop().await;
}

#[tokio::test]
async fn of_an_authoritys_clients_only_those_named_are_let_in() {
    let authority = ClientAuthority::new();
    let names = ["kube-apiserver", "apiserver.example"].map(str::to_owned).to_vec();
    let clients = Clients { authority: authority.pem(), names };
    let fixture = serve(Options { clients: Some(clients), ..options() }).await;
    for (common_name, dns_names, let_in) in [
        ("kube-apiserver", &[][..], true),
        ("somebody", &["other.example", "apiserver.example"], true),
        ("system:node:a", &[], false),
        ("", &["kube-apiserver.example"], false),
        // The organization is no name.
        ("kube-apiserver.", &[], false),
    ] {
        let client = authority.client(&fixture.certificate, common_name, dns_names);
        let answer = client.post(fixture.url("/length")).send().await;
        assert_eq!(answer.is_ok(), let_in, "{common_name} {dns_names:?}: {answer:?}");
    }
    fixture.stop().await;
}
