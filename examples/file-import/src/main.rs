//! The import of a file, on actix-web: its progress, and its end.
//!
//! An import is a topic, of which each report says all. It is finished with the last one: streams end, and a page that comes back
//! is answered with 204. Whoever comes later is told how it ended.

use std::sync::Arc;
use std::{collections::HashSet, io, time::Duration};

use actix_web::http::header::{CONTENT_LENGTH, HeaderMap};
use actix_web::web::{self, Data, Html, Path, Payload};
use actix_web::{App, HttpRequest, HttpResponse, Responder};
use futures_util::StreamExt;
use parking_lot::Mutex;
use serde::Serialize;
use tidings_actix_web::tidings::error::FieldError;
use tidings_actix_web::{Error, Event, History, Hub, Retention, Sse, SseRequest};

/// So that nobody fills the memory.
const LONGEST_ROW: usize = 64 * 1024;

/// After how many bytes an import is reported whose length is not known.
const REPORT_BYTES: u64 = 1024 * 1024;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Import {
    /// The bytes that have come, of how many, if that is known, and the rows in them.
    Progress {
        done: u64,
        of: Option<u64>,
        rows: u64,
    },
    Finished {
        rows: u64,
    },
    Failed {
        row: u64,
        reason: String,
    },
}

/// The imports that there are, or were. An application has a database for them.
#[derive(Clone)]
struct Imports {
    hub: Hub,
    known: Arc<Mutex<HashSet<u64>>>,
}

impl Imports {
    fn check(&self, import: u64) -> actix_web::Result<()> {
        match self.known.lock().contains(&import) {
            true => Ok(()),
            false => Err(actix_web::error::ErrorNotFound("there is no such import")),
        }
    }
}

fn hub() -> Result<Hub, FieldError> {
    // Each report makes the ones before it worthless. A page may ask for the last one for an hour.
    let retention = Retention::default().events(3).age(Duration::from_secs(3600));
    Ok(Hub::builder().retain("import:*", retention)?.build())
}

fn topic(import: u64) -> String {
    format!("import:{import}")
}

async fn create(imports: Data<Imports>) -> impl Responder {
    let mut known = imports.known.lock();
    let import = known.len() as u64 + 1;
    known.insert(import);
    HttpResponse::Created().body(import.to_string())
}

async fn events(
    imports: Data<Imports>,
    import: Path<u64>,
    request: SseRequest,
) -> actix_web::Result<Sse> {
    imports.check(*import)?;
    Ok(request.subscribe(&imports.hub, topic(*import)).history(History::Last(1)).into())
}

/// Takes a file of rows `name;amount`.
async fn upload(
    imports: Data<Imports>,
    import: Path<u64>,
    http: HttpRequest,
    body: Payload,
) -> actix_web::Result<impl Responder> {
    imports.check(*import)?;
    let of = length(http.headers());
    // In a task of its own: the one of a request that is cut is dropped, and the import must end all the same.
    let job = actix_web::rt::spawn(async move {
        let (hub, topic) = (&imports.hub, topic(*import));
        let end = read(hub, &topic, of, body).await?;
        hub.finish(topic, Event::typed(&end)?).await?;
        Ok::<_, Error>(())
    });
    job.await.map_err(actix_web::error::ErrorInternalServerError)??;
    Ok(HttpResponse::NoContent())
}

async fn read(hub: &Hub, topic: &str, of: Option<u64>, mut body: Payload) -> Result<Import, Error> {
    // A hundred reports are as many as anybody can look at.
    let step = of.map_or(REPORT_BYTES, |of| of.div_ceil(100));
    let (mut done, mut rows, mut reported) = (0, 0, 0);
    let mut rest = Vec::new();
    while let Some(chunk) = body.next().await {
        let chunk = match chunk {
            Ok(chunk) => chunk,
            Err(error) => return Ok(failed(rows, error.to_string())),
        };
        done += chunk.len() as u64;
        rest.extend_from_slice(&chunk);
        let whole = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        for row in rest.drain(..whole).as_slice().split(|byte| *byte == b'\n') {
            if !row.is_empty() {
                rows += 1;
                if let Err(reason) = import_row(row) {
                    return Ok(failed(rows, reason));
                }
            }
        }
        if rest.len() > LONGEST_ROW {
            return Ok(failed(rows + 1, "it is too long".to_owned()));
        }
        if done - reported >= step {
            reported = done;
            hub.publish(topic, Event::typed(&Import::Progress { done, of, rows })?).await?;
        }
    }
    Ok(match rest.is_empty() {
        true => Import::Finished { rows },
        false => failed(rows + 1, "the file ends in the middle of a row".to_owned()),
    })
}

fn import_row(row: &[u8]) -> Result<(), String> {
    let row = str::from_utf8(row).map_err(|_| "it is not text")?;
    let (_name, amount) = row.split_once(';').ok_or("it has no semicolon")?;
    amount.trim().parse::<f64>().map_err(|_| format!("{amount:?} is not a number"))?;
    // Here it would be stored.
    Ok(())
}

fn failed(row: u64, reason: String) -> Import {
    Import::Failed { row, reason }
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn page() -> Html {
    Html::new(include_str!("page.html"))
}

#[actix_web::main]
async fn main() -> io::Result<()> {
    let hub = hub().map_err(io::Error::other)?;
    let imports = Data::new(Imports { hub: hub.clone(), known: Arc::default() });
    let app = move || {
        App::new()
            .app_data(imports.clone())
            .route("/", web::get().to(page))
            .configure(page_example::actix_web::files)
            .route("/imports", web::post().to(create))
            .route("/imports/{import}", web::put().to(upload))
            .route("/imports/{import}/events", web::get().to(events))
    };

    tidings_actix_web::serve(page_example::listen().await?, app, &hub).await
}
