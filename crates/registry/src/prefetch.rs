//! Look-ups ahead of need: images that stored objects name, before a pod of theirs is created.
//!
//! Everything here gives way: at low priority, a few at a time, at a bounded rate, and with no more images than the options
//! say. An image is looked up once; what its tag names ages as ever, and is renewed by whoever needs it, at the price of one
//! request.

use crate::{Failure, Priority, Question, Resolver};
use emissary_core::image::{Platform, Reference};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Notify, Semaphore, watch},
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// For one look-up, whose own end is earlier.
const LONGEST: Duration = Duration::from_secs(300);

/// An image that an object names.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// What to ask, with the credentials of the object's own namespace. Its priority does not count.
    pub question: Question,
    /// Whether it has to be for these platforms. Otherwise an image that has none of them is looked up for those that it has.
    pub stated: bool,
}

/// How much is looked up ahead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrefetchOptions {
    /// Images that are kept in mind; further ones are left to those who need them. Default: 20,000.
    pub most: usize,
    /// Look-ups at a time. Default: 4.
    pub at_once: usize,
    /// Look-ups a second, 1 to 1000, once [`Prefetch::warm`] is over. Default: 20.
    pub per_second: u32,
    /// How often an image is tried whose registry is in trouble. Default: 3.
    pub attempts: u32,
    /// How long after a failure it is tried again. Default: 30 seconds.
    pub retry: Duration,
}

impl Default for PrefetchOptions {
    fn default() -> Self {
        Self { most: 20_000, at_once: 4, per_second: 20, attempts: 3, retry: Duration::from_secs(30) }
    }
}

/// What became of what was wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PrefetchCounts {
    /// Images that objects name now.
    pub images: usize,
    /// Of these, how many wait for their turn or for another one.
    pub waiting: usize,
    /// Of these, how many could not be found and are not tried again before an object names them anew.
    pub given_up: usize,
    /// Look-ups that found what they were for.
    pub found: u64,
    /// Look-ups that failed.
    pub failed: u64,
    /// Images that were one too many.
    pub left_out: u64,
}

/// Looks images up ahead of need. Clones are handles to the same.
#[derive(Clone)]
pub struct Prefetch(Arc<Shared>);

struct Shared {
    resolver: Resolver,
    options: PrefetchOptions,
    state: Mutex<State>,
    /// Something was lined up.
    lined_up: Notify,
    warming: watch::Sender<Warming>,
}

/// What the same look-up is for all who want it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    namespace: Arc<str>,
    reference: Reference,
    platforms: Vec<Platform>,
    stated: bool,
}

#[derive(Default)]
struct State {
    /// What each object names.
    objects: HashMap<Arc<str>, HashSet<Key>>,
    images: HashMap<Key, Image>,
    namespaces: HashMap<Arc<str>, Namespace>,
    /// The namespaces with a line, the next first.
    order: VecDeque<Arc<str>>,
    /// Those that failed, by the time from which on they are tried again.
    later: VecDeque<(Instant, Key)>,
    untried: usize,
    counts: PrefetchCounts,
}

#[derive(Default)]
struct Namespace {
    images: usize,
    under_way: usize,
    /// May name what is gone, or is done.
    line: VecDeque<Key>,
}

struct Image {
    /// How many name it.
    objects: usize,
    step: Step,
    /// Failures since somebody wanted it.
    failures: u32,
    is_tried: bool,
}

enum Step {
    Waiting(Box<Question>),
    UnderWay(Box<Question>),
    Found,
    Failed,
}

#[derive(Debug, Clone, Copy)]
struct Warming {
    /// Everything that is stored has been named.
    listed: bool,
    /// Images that were not tried yet.
    untried: usize,
    over: bool,
}

impl Prefetch {
    /// Starts it on `tasks`, until `cancel`.
    pub fn start(resolver: Resolver, options: PrefetchOptions, tasks: &TaskTracker, cancel: CancellationToken) -> Self {
        let (warming, _) = watch::channel(Warming { listed: false, untried: 0, over: false });
        let shared = Shared { resolver, options, state: Mutex::default(), lined_up: Notify::new(), warming };
        let prefetch = Self(Arc::new(shared));
        let (running, own) = (prefetch.clone(), tasks.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = cancel.cancelled() => {}
                () = running.run(&own) => {}
            }
        });
        prefetch
    }

    /// What an object names now, in place of what it named before. An image that failed is tried anew, which costs nothing
    /// while the failure is remembered.
    pub fn want(&self, object: &str, wanted: impl IntoIterator<Item = Wanted>) {
        let mut state = self.0.state();
        let before = state.objects.remove(object).unwrap_or_default();
        let mut now = HashSet::new();
        for Wanted { question, stated } in wanted {
            let Question { reference, platforms, namespace, .. } = &question;
            let (reference, platforms) = (reference.clone(), platforms.clone());
            let key = Key { namespace: Arc::clone(namespace), reference, platforms, stated };
            if now.contains(&key) {
                continue;
            }
            let is_new = !before.contains(&key);
            if state.add(&key, question, is_new, self.0.options.most) {
                now.insert(key);
            }
        }
        before.difference(&now).for_each(|key| state.release(key));
        if !now.is_empty() {
            state.objects.insert(object.into(), now);
        }
        self.0.tell(&state);
    }

    /// An object that is gone.
    pub fn forget(&self, object: &str) {
        self.want(object, []);
    }

    /// All that was stored at the start has been named: when that is tried, it is warm.
    pub fn listed(&self) {
        self.0.warming.send_modify(|warming| warming.listed = true);
    }

    /// Waits until everything that is stored was tried, or `limit` is over; true if it was tried. Until then only the number at
    /// a time bounds the rate.
    pub async fn warm(&self, limit: Duration) -> bool {
        let mut warming = self.0.warming.subscribe();
        // What it returns holds a lock, under which nothing may be sent.
        let is_warm = async { warming.wait_for(|warming| warming.listed && warming.untried == 0).await.is_ok() };
        let is_warm = timeout(limit, is_warm).await.unwrap_or(false);
        self.0.warming.send_modify(|warming| warming.over = true);
        is_warm
    }

    /// What became of it so far.
    pub fn counts(&self) -> PrefetchCounts {
        let state = self.0.state();
        let count = |is: fn(&Step) -> bool| state.images.values().filter(|image| is(&image.step)).count();
        PrefetchCounts {
            images: state.images.len(),
            waiting: count(|step| matches!(step, Step::Waiting(_))),
            given_up: count(|step| matches!(step, Step::Failed)),
            ..state.counts
        }
    }

    async fn run(&self, tasks: &TaskTracker) {
        let options = &self.0.options;
        let turns = Arc::new(Semaphore::new(options.at_once.max(1)));
        let mut pace = interval(Duration::from_secs(1) / options.per_second.clamp(1, 1000));
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let Ok(turn) = Arc::clone(&turns).acquire_owned().await else { return };
            let (key, question) = self.0.next().await;
            if self.0.warming.borrow().over {
                pace.tick().await;
            }
            let shared = Arc::clone(&self.0);
            tasks.spawn(async move {
                let failure = shared.look_up(question, key.stated).await.err();
                shared.ended(key, failure.as_deref());
                drop(turn);
            });
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next whose turn it is.
    async fn next(&self) -> (Key, Question) {
        // One tenant's dead registry leaves the other half to others.
        let most_of_one = self.options.at_once.div_ceil(2);
        loop {
            let until = {
                let mut state = self.state();
                let now = Instant::now();
                while let Some((_, key)) = state.later.pop_front_if(|(from, _)| *from <= now) {
                    state.line_up(key);
                }
                if let Some(next) = state.next(most_of_one) {
                    return next;
                }
                state.later.front().map(|(from, _)| *from)
            };
            // Whatever was lined up in between has left a permit to go on.
            match until {
                None => self.lined_up.notified().await,
                Some(until) => tokio::select! {
                    () = self.lined_up.notified() => {}
                    () = sleep_until(until) => {}
                },
            }
        }
    }

    async fn look_up(&self, question: Question, stated: bool) -> Result<(), Arc<Failure>> {
        let deadline = Instant::now() + LONGEST;
        let question = question.with_priority(Priority::Low);
        match self.resolver.resolve(&question, deadline).await {
            Err(failure) if !stated && matches!(*failure, Failure::NoSuchPlatform { .. }) => {
                self.resolver.resolve(&question.with_platforms(Vec::new()), deadline).await.map(drop)
            }
            outcome => outcome.map(drop),
        }
    }

    fn ended(&self, key: Key, failure: Option<&Failure>) {
        let PrefetchOptions { attempts, retry, .. } = self.options;
        let mut state = self.state();
        state.end(key, failure, attempts, Instant::now() + retry);
        self.tell(&state);
    }

    /// Says how much is left to try, and that it may go on.
    fn tell(&self, state: &State) {
        self.warming.send_modify(|warming| warming.untried = state.untried);
        self.lined_up.notify_one();
    }
}

impl State {
    /// Notes that an object names it; false where it is one too many.
    fn add(&mut self, key: &Key, question: Question, is_new: bool, most: usize) -> bool {
        let question = Box::new(question);
        if let Some(image) = self.images.get_mut(key) {
            image.objects += usize::from(is_new);
            match &mut image.step {
                // The credentials may be others; those of a look-up that is under way are for its next turn.
                Step::Waiting(before) | Step::UnderWay(before) => *before = question,
                Step::Found => {}
                step @ Step::Failed => {
                    *step = Step::Waiting(question);
                    image.failures = 0;
                    self.line_up(key.clone());
                }
            }
            return true;
        }
        let of_namespace = self.namespaces.get(&key.namespace).map_or(0, |namespace| namespace.images);
        if self.images.len() >= most || of_namespace >= most.div_ceil(2) {
            self.counts.left_out += 1;
            return false;
        }
        let image = Image { objects: 1, step: Step::Waiting(question), failures: 0, is_tried: false };
        self.images.insert(key.clone(), image);
        self.namespaces.entry(Arc::clone(&key.namespace)).or_default().images += 1;
        self.untried += 1;
        self.line_up(key.clone());
        true
    }

    /// Notes that an object does not name it any more.
    fn release(&mut self, key: &Key) {
        let Some(image) = self.images.get_mut(key) else { return };
        image.objects -= 1;
        if image.objects > 0 {
            return;
        }
        self.untried -= usize::from(!image.is_tried);
        self.images.remove(key);
        if let Some(namespace) = self.namespaces.get_mut(&key.namespace) {
            namespace.images -= 1;
        }
        self.tidy(&key.namespace);
    }

    fn line_up(&mut self, key: Key) {
        let namespace = self.namespaces.entry(Arc::clone(&key.namespace)).or_default();
        if namespace.line.is_empty() {
            self.order.push_back(Arc::clone(&key.namespace));
        }
        namespace.line.push_back(key);
        // What was given up stays in line until its turn; who names and gives up all the time shall not fill it.
        if namespace.line.len() > 64 + 2 * namespace.images {
            let images = &self.images;
            let mut seen = HashSet::new();
            namespace.line.retain(|key| is_waiting(images, key) && seen.insert(key.clone()));
        }
    }

    /// The next, of a namespace that has fewer than `most_of_one` under way.
    fn next(&mut self, most_of_one: usize) -> Option<(Key, Question)> {
        for _ in 0..self.order.len() {
            let name = self.order.pop_front()?;
            let Some(namespace) = self.namespaces.get_mut(&name) else { continue };
            if namespace.under_way >= most_of_one {
                self.order.push_back(name);
                continue;
            }
            let mut next = None;
            while let Some(key) = namespace.line.pop_front() {
                let Some(image) = self.images.get_mut(&key) else { continue };
                let Step::Waiting(question) = &image.step else { continue };
                let question = question.clone();
                next = Some((key, (*question).clone()));
                image.step = Step::UnderWay(question);
                namespace.under_way += 1;
                break;
            }
            if !namespace.line.is_empty() {
                self.order.push_back(Arc::clone(&name));
            }
            self.tidy(&name);
            if next.is_some() {
                return next;
            }
        }
        None
    }

    fn end(&mut self, key: Key, failure: Option<&Failure>, attempts: u32, again: Instant) {
        match failure {
            None => self.counts.found += 1,
            Some(_) => self.counts.failed += 1,
        }
        if let Some(namespace) = self.namespaces.get_mut(&key.namespace) {
            namespace.under_way -= 1;
        }
        self.tidy(&key.namespace);
        let Some(image) = self.images.get_mut(&key) else { return };
        // Given up meanwhile and named again, it is in line.
        let Step::UnderWay(question) = &image.step else { return };
        self.untried -= usize::from(!image.is_tried);
        image.is_tried = true;
        image.failures += u32::from(failure.is_some());
        image.step = match failure {
            None => Step::Found,
            Some(failure) if failure.is_transient() && image.failures < attempts => {
                self.later.push_back((again, key));
                Step::Waiting(question.clone())
            }
            Some(_) => Step::Failed,
        };
    }

    /// Drops what is empty.
    fn tidy(&mut self, name: &Arc<str>) {
        let is_empty =
            |namespace: &Namespace| namespace.images == 0 && namespace.under_way == 0 && namespace.line.is_empty();
        if self.namespaces.get(name).is_some_and(is_empty) {
            self.namespaces.remove(name);
        }
    }
}

fn is_waiting(images: &HashMap<Key, Image>, key: &Key) -> bool {
    images.get(key).is_some_and(|image| matches!(image.step, Step::Waiting(_)))
}
