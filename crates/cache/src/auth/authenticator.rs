//! `TokenReviews`: what the API server says of a token, asked as rarely as may be. The memo first, then the claims, then a review.
//!
//! Reviews are made by one task on the control runtime, so that no thread which serves requests ever opens a connection.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use arc_swap::ArcSwap;
use coraza_ruleset::RuleSetKey;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::claims::Claims;
use super::memo::{Memo, Reviewed, Subject, Verdict};
use super::review::{Decision, Reviews};
use super::token_review::Review;
use super::{BearerToken, Refusal};

/// How many verdicts are remembered: ten times the gateway pods of a large cluster, at some 200 bytes each.
const MEMO_CAPACITY: usize = 10_000;
/// How many requests may wait to be looked at. At 20 reviews a second more would wait in vain.
const QUEUE: usize = 1_024;

/// Has ServiceAccount tokens reviewed. Cheap to clone.
#[derive(Debug, Clone)]
pub struct TokenReviews {
    /// Read by every request without a lock. It is copied to be changed, which the rate of reviews makes rare.
    memo: Arc<ArcSwap<Memo>>,
    queue: mpsc::Sender<Request>,
}

#[derive(Debug)]
struct Request {
    subject: Subject,
    /// The token, for the API server only.
    secret: Secret,
    expires: SystemTime,
    reply: oneshot::Sender<Verdict>,
}

/// A token that can't be printed.
struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl TokenReviews {
    /// The reviews and the task that makes them, which must be spawned and ends with the last clone.
    pub fn new(review: impl Review) -> (Self, impl Future<Output = ()> + Send) {
        let (queue, requests) = mpsc::channel(QUEUE);
        let memo = Arc::new(ArcSwap::from_pointee(Memo::new(MEMO_CAPACITY)));
        (
            Self {
                memo: Arc::clone(&memo),
                queue,
            },
            serve_reviews(review, memo, requests),
        )
    }

    /// What the API server says of `token` as a key to `key`, now or a short while ago.
    ///
    /// # Errors
    /// [`Refusal`] if it opens nothing, or nobody can be asked.
    pub async fn review(&self, token: &BearerToken<'_>, key: &RuleSetKey) -> Result<Reviewed, Refusal> {
        let subject = (token.digest(), key.clone());
        let remembered = self.memo.load().get(&subject, Instant::now()).copied();
        if let Some(verdict) = remembered {
            return verdict.and_then(still_valid);
        }
        let expires = Claims::of(token.secret())?.admit(&key.audience(), SystemTime::now())?;
        let (reply, verdict) = oneshot::channel();
        let request = Request {
            subject,
            secret: Secret(token.secret().to_owned()),
            expires,
            reply,
        };
        // A full queue is twenty seconds and more of reviews; a closed one is a process that ends.
        self.queue.try_send(request).map_err(|_| Refusal::Unavailable)?;
        verdict.await.map_err(|_| Refusal::Unavailable)?
    }
}

/// The memo's clock and the token's are different ones: when the second is set forward, the token may end before the memo.
fn still_valid(reviewed: Reviewed) -> Verdict {
    if reviewed.expires > SystemTime::now() {
        Ok(reviewed)
    } else {
        Err(Refusal::Expired)
    }
}

async fn serve_reviews(review: impl Review, memo: Arc<ArcSwap<Memo>>, mut requests: mpsc::Receiver<Request>) {
    let mut reviews = Reviews::new();
    let mut running = JoinSet::new();
    loop {
        tokio::select! {
            request = requests.recv() => {
                let Some(Request { subject, secret, expires, reply }) = request else { return };
                // It may have been answered while this request was in the queue.
                if let Some(verdict) = memo.load().get(&subject, Instant::now()) {
                    let _ = reply.send(*verdict);
                    continue;
                }
                match reviews.request(&subject, reply, Instant::now()) {
                    Decision::Start => {
                        let review = review.clone();
                        running.spawn(async move {
                            let key = subject.1.clone();
                            // A task of its own: if it panics, whoever waits for its verdict must not wait for ever.
                            let asked = tokio::spawn(async move { review.review(secret.0, key).await });
                            let verdict = asked.await.unwrap_or(Err(Refusal::Unavailable));
                            (subject, verdict.map(|bearer| Reviewed { expires, bearer }))
                        });
                    }
                    Decision::Join => {}
                    Decision::Exhausted { waiter, retry_after } => {
                        let _ = waiter.send(Err(Refusal::Exhausted { retry_after }));
                    }
                }
            }
            Some(Ok((subject, verdict))) = running.join_next() => {
                memo.rcu(|memo| {
                    let mut memo = Memo::clone(memo);
                    memo.insert(subject.clone(), verdict, Instant::now(), SystemTime::now());
                    memo
                });
                for waiter in reviews.finish(&subject) {
                    // Who no longer waits has gone away.
                    let _ = waiter.send(verdict);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::api_server::{self, ApiServer, FATAL, GOOD};
    use std::time::Duration;

    const BAD: &str = "bad";

    fn token(number: usize, signature: &str) -> String {
        api_server::token("system:serviceaccount:team:me", number, signature)
    }

    async fn ask(reviews: &TokenReviews, token: &str) -> Result<(), Refusal> {
        let key = RuleSetKey::new("team", "crs").expect("key");
        reviews.review(&BearerToken::new(token), &key).await.map(|_| ())
    }

    #[tokio::test]
    async fn a_token_is_asked_about_once() {
        let server = ApiServer::default();
        let (reviews, task) = TokenReviews::new(server.clone());
        let task = tokio::spawn(task);
        let (good, bad) = (token(1, GOOD), token(1, BAD));
        let together = tokio::join!(ask(&reviews, &good), ask(&reviews, &good), ask(&reviews, &bad));
        assert_eq!(together, (Ok(()), Ok(()), Err(Refusal::Unknown)));
        assert_eq!(
            (ask(&reviews, &good).await, ask(&reviews, &bad).await),
            (Ok(()), Err(Refusal::Unknown))
        );
        assert_eq!(server.calls(), 2);
        drop(reviews);
        task.await.expect("ends with the last handle");
    }

    #[tokio::test]
    async fn hopeless_tokens_never_reach_the_api_server() {
        let server = ApiServer::default();
        let (reviews, task) = TokenReviews::new(server.clone());
        tokio::spawn(task);
        assert_eq!(ask(&reviews, "garbage").await, Err(Refusal::Malformed));
        let key = RuleSetKey::new("team", "third").expect("key");
        let third = reviews.review(&BearerToken::new(&token(1, GOOD)), &key).await;
        assert_eq!(third.map(|_| ()), Err(Refusal::OtherAudience));
        assert_eq!(server.calls(), 0);
    }

    #[tokio::test]
    async fn a_review_that_dies_is_answered_and_made_again() {
        let server = ApiServer::default();
        let (reviews, task) = TokenReviews::new(server.clone());
        tokio::spawn(task);
        let fatal = token(1, FATAL);
        for _ in 0..2 {
            let answer = tokio::time::timeout(Duration::from_secs(20), ask(&reviews, &fatal)).await;
            assert_eq!(answer.expect("in time"), Err(Refusal::Unavailable));
        }
        assert_eq!(server.calls(), 2);
        assert_eq!(ask(&reviews, &token(1, GOOD)).await, Ok(()));
    }

    #[tokio::test]
    async fn a_flood_of_tokens_is_told_to_return_and_known_tokens_are_not() {
        let server = ApiServer::default();
        let (reviews, task) = TokenReviews::new(server.clone());
        tokio::spawn(task);
        let known = token(0, GOOD);
        assert_eq!(ask(&reviews, &known).await, Ok(()));
        let mut refused = 0;
        for number in 1..=100 {
            refused += usize::from(matches!(
                ask(&reviews, &token(number, BAD)).await,
                Err(Refusal::Exhausted { .. })
            ));
        }
        assert!(refused >= 70, "{refused}");
        assert_eq!(server.calls(), 101 - refused);
        assert_eq!(ask(&reviews, &known).await, Ok(()));
    }
}
