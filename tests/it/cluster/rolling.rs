//! A rolling restart of two replicas while pods are created.
//!
//! A real Service is kube-proxy's to serve. Here a forwarder stands in for it: it gives each new connection to one of the ready
//! replicas, and learns of a terminating one later than the replica itself does, as kube-proxy does.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use emissary_webhook::certificate::Generated;
use serde_json::Value;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::creation::{bare_pod, enforcing, wrapped};
use super::{Namespace, PODS, by_service, cluster, entry};
use crate::serve::program::{Webhook, certificate_for, eventually};

/// A hundred a second, as far as the machine creates so many: what is to be seen is a replica that goes, and not one that is
/// overrun.
const PACE: Duration = Duration::from_millis(10);
const AT_ONCE: usize = 32;
/// How much later the forwarder learns of a termination.
const PROPAGATION: Duration = Duration::from_millis(500);

/// What kube-proxy would be.
struct Forwarder {
    port: u16,
    ready: Arc<Mutex<Vec<SocketAddr>>>,
}

impl Forwarder {
    async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let ready: Arc<Mutex<Vec<SocketAddr>>> = Arc::default();
        let known = Arc::clone(&ready);
        tokio::spawn(async move {
            for turn in 0.. {
                let Ok((mut client, _)) = listener.accept().await else { return };
                let to = {
                    let known = known.lock().unwrap();
                    known[turn % known.len()]
                };
                tokio::spawn(async move {
                    let Ok(mut server) = TcpStream::connect(to).await else { return };
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        Self { port, ready }
    }

    fn add(&self, webhook: &Webhook) {
        self.ready.lock().unwrap().push(webhook.https);
    }

    fn remove(&self, address: SocketAddr) {
        self.ready.lock().unwrap().retain(|known| *known != address);
    }
}

async fn create(namespace: Arc<Namespace>, number: usize) -> Value {
    let pod = namespace.create("pods", &bare_pod(&format!("rolling-{number}"))).await;
    pod.unwrap_or_else(|refusal| panic!("pod {number}: {refusal:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_admission_is_answered_while_two_replicas_are_replaced() {
    let Some(cluster) = cluster() else { return };
    let namespace = Arc::new(cluster.namespace("rolling").await);
    // The second name is by which the test asks for metrics.
    let certificate = certificate_for(&[&format!("hook.{}.svc", namespace.name), "localhost"]);
    let replica = || {
        let flags = ["--set", "server.lameDuck=1500ms", "--set", "server.drainTimeout=10s"];
        let Generated { ca_pem, certificate_pem, key_pem } = &certificate;
        let (ca_pem, certificate_pem, key_pem) = (ca_pem.clone(), certificate_pem.clone(), key_pem.clone());
        enforcing().with_certificate(Generated { ca_pem, certificate_pem, key_pem }).flags(&flags).start()
    };
    let forwarder = Forwarder::start().await;
    let mut replicas = vec![replica().await, replica().await];
    replicas.iter().for_each(|replica| forwarder.add(replica));
    let place = by_service(&namespace, "hook", &certificate.ca_pem, forwarder.port).await;
    namespace.register([entry("pods", place, PODS)]).await;

    let created = Arc::new(AtomicUsize::new(0));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let load = tokio::spawn({
        let (namespace, created) = (Arc::clone(&namespace), Arc::clone(&created));
        async move {
            let mut ticks = interval(PACE);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            let (mut creations, mut stopped, mut number) = (JoinSet::new(), stopped, 0);
            loop {
                tokio::select! {
                    _ = &mut stopped => break,
                    _ = ticks.tick(), if creations.len() < AT_ONCE => {
                        creations.spawn(create(Arc::clone(&namespace), number));
                        number += 1;
                    }
                    Some(pod) = creations.join_next() => {
                        assert_eq!(wrapped(&pod.unwrap()), ["/usr/bin/report", "--all"]);
                        created.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
            while let Some(pod) = creations.join_next().await {
                assert_eq!(wrapped(&pod.unwrap()), ["/usr/bin/report", "--all"]);
                created.fetch_add(1, Ordering::Relaxed);
            }
            number
        }
    });

    let count = || created.load(Ordering::Relaxed);
    let began = Instant::now();
    for _ in 0..2 {
        let before = count();
        eventually("pods are created", async || count() > before + 50).await;
        // As a Deployment does with maxUnavailable: 0.
        let next = replica().await;
        forwarder.add(&next);
        replicas.push(next);
        let mut old = replicas.remove(0);
        old.terminate();
        sleep(PROPAGATION).await;
        forwarder.remove(old.https);
        let status = old.ended().await;
        assert!(status.success(), "{status}");
    }
    let before = count();
    eventually("pods are created", async || count() > before + 50 || load.is_finished()).await;
    let _ = stop.send(());
    let issued = load.await.unwrap();
    let took = began.elapsed();
    println!("{issued} pods in {took:.1?}: {:.0} a second, none refused", issued as f64 / took.as_secs_f64());
    assert_eq!(count(), issued);
    let answered = [replicas[0].metric(ADMISSIONS).await, replicas[1].metric(ADMISSIONS).await];
    assert!(answered.iter().all(|answered| *answered > 0.0), "both serve in the end: {answered:?}");
}

const ADMISSIONS: &str = "emissary_webhook_admission_duration_seconds_count";
