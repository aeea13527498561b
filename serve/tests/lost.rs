//! A device that is lost while a server runs: requests are told so, and the model is loaded again without a restart.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cmm::{FastBert, Gpu, GpuOptions};
use cmm_serve::{ModelSource, Settings};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

fn post(agent: &ureq::Agent, address: &str) -> (u16, Option<String>, String) {
    let mut answer = agent
        .post(format!("http://{address}/embed"))
        .content_type("application/json")
        .send(r#"{"inputs": "a text"}"#)
        .unwrap();
    let retry = answer.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
    (answer.status().as_u16(), retry, answer.body_mut().read_to_string().unwrap())
}

#[test]
fn a_lost_device_is_requested_again() {
    let Ok(_) = pollster::block_on(Gpu::request(&GpuOptions::default())) else {
        assert!(std::env::var_os("CMM_REQUIRE_GPU").is_none(), "no GPU adapter");
        eprintln!("SKIPPED: no GPU adapter");
        return;
    };
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/mlm_tiny");
    let devices: Arc<Mutex<Vec<Gpu>>> = Arc::default();
    let requested = devices.clone();
    let load = move || {
        let gpu =
            pollster::block_on(Gpu::request(&GpuOptions::default())).map_err(|e| e.to_string())?;
        requested.lock().unwrap().push(gpu.clone());
        pollster::block_on(FastBert::load(&gpu, &folder)).map_err(|e| e.to_string())
    };
    let models = vec![ModelSource { name: "tiny".into(), load: Box::new(load) }];
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (stop, stopped) = oneshot::channel::<()>();
    let stop_comes = async { drop(stopped.await) };
    let server =
        runtime.spawn(cmm_serve::serve(listener, models, None, Settings::default(), stop_comes));

    let config = ureq::Agent::config_builder().http_status_as_error(false).build();
    let agent = ureq::Agent::new_with_config(config);
    let until_it_answers = || {
        for _ in 0..2400 {
            let (status, ..) = post(&agent, &address);
            if status == 200 {
                return;
            }
            assert_eq!(status, 503);
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the model does not come back");
    };
    until_it_answers();
    let (_, _, vector) = post(&agent, &address);
    for lost in 0..2 {
        devices.lock().unwrap()[lost].device().destroy();
        let (status, retry, body) = post(&agent, &address);
        assert_eq!((status, retry.as_deref()), (503, Some("1")), "{body}");
        assert!(body.contains("Unhealthy") && body.contains("lost"), "{body}");
        until_it_answers();
        assert_eq!(devices.lock().unwrap().len(), lost + 2);
        assert_eq!(post(&agent, &address).2, vector);
    }
    stop.send(()).unwrap();
    runtime.block_on(server).unwrap().unwrap();
}
