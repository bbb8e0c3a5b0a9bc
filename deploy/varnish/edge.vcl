vcl 4.1;

# An edge in front of Sluice, as a CDN would be: keeps what is public for as long as it says, a little longer while it asks again, and for ten minutes while the origin is away or fails. Nothing of one user is ever kept.
# With several nodes write several backends and a director (vmod_directors), or put the address of the nginx in front of them here.
# Tell it what has changed: Publish:Purge = "PURGE http://<this host>:6081". Start: varnishd -a :6081 -f /etc/varnish/edge.vcl -s malloc,1g

import std;

probe alive {
  .url = "/health/live";
  .interval = 1s;
  .timeout = 1s;
  .window = 4;
  .threshold = 3;
  .initial = 3;
}

backend origin {
  .host = "127.0.0.1";
  .port = "80";
  .probe = alive;
  .connect_timeout = 500ms;
  .first_byte_timeout = 65s;
  .max_connections = 1000;
}

# Who may tell what has changed. An address that somebody writes into a header does not count.
acl purgers {
  "127.0.0.1";
  "::1";
}

sub vcl_recv {
  # What a caller says about himself is no word to go by, and these are ours.
  unset req.http.Proxy;
  unset req.http.Forwarded;
  unset req.http.X-Forwarded-Host;
  set req.http.X-Forwarded-Proto = "http";
  set req.http.X-Forwarded-For = client.ip;
  if (req.restarts == 0) {
    unset req.http.X-Sluice-Edge;
    unset req.http.X-Sluice-Retry-After;
  }

  # Either word does the same: a ban.
  if (req.method == "PURGE" || req.method == "BAN") {
    if (client.ip !~ purgers) {
      return (synth(405, "Method Not Allowed"));
    }
    # What is written into a ban must not be able to say anything else. All that is kept of this address goes, with whatever query.
    if (req.url !~ "^/[A-Za-z0-9_.~%/-]*$") {
      return (synth(400, "Not an address"));
    }
    ban("obj.http.X-Sluice-Path == " + req.url);
    return (synth(200, "Purged"));
  }

  if (req.method !~ "^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS)$") {
    return (synth(405, "Method Not Allowed"));
  }

  # Who says who they are is never answered from what is kept.
  if ((req.method != "GET" && req.method != "HEAD") || req.http.Authorization || req.http.X-Api-Key) {
    return (pass);
  }

  # The shop has no cookies; those of others on this host are no business of the origin.
  unset req.http.Cookie;

  # While the origin is well, a second; while it is not, whatever there is. A request that comes here again has just been failed by it.
  if (std.healthy(req.backend_hint) && req.restarts == 0) {
    set req.grace = 1s;
  } else {
    set req.grace = 600s;
  }
  return (hash);
}

sub vcl_hash {
  # Pages say where they are by the setting Publish:SiteUrl, not by the name that somebody asked under.
  hash_data(req.url);
  return (lookup);
}

sub vcl_hit {
  if (obj.ttl > 0s) {
    set req.http.X-Sluice-Edge = "HIT";
  } else {
    set req.http.X-Sluice-Edge = "STALE";
  }
}

sub vcl_miss {
  set req.http.X-Sluice-Edge = "MISS";

  # The origin has just failed this request, and nothing is kept: it is not asked again, least of all when it has too much to do.
  if (req.restarts > 0) {
    return (synth(503, "Service Unavailable"));
  }
}

sub vcl_pass {
  set req.http.X-Sluice-Edge = "BYPASS";
}

sub vcl_backend_fetch {
  # What is everybody's is quickly made. Whoever waits for a claim says who he is, and has the backend's own time.
  if (!bereq.uncacheable) {
    set bereq.first_byte_timeout = 5s;
  }
}

sub vcl_backend_response {
  if (beresp.status >= 500) {
    # In the background: what is kept stays. Else: told, and not kept, so that what was kept before still is found.
    if (bereq.is_bgfetch) {
      return (abandon);
    }
    set beresp.ttl = 0s;
    set beresp.grace = 0s;
    set beresp.keep = 0s;
    return (deliver);
  }

  if (beresp.http.Set-Cookie || beresp.http.Cache-Control ~ "(?i)(private|no-store|no-cache)" || !beresp.http.Cache-Control) {
    set beresp.uncacheable = true;
    set beresp.ttl = 1s;
    return (deliver);
  }

  set beresp.http.X-Sluice-Path = regsub(bereq.url, "\?.*$", "");
  set beresp.grace = 600s;
  set beresp.keep = 600s;
  return (deliver);
}

sub vcl_deliver {
  # The origin failed, and there may be something that is too old for good days.
  if (resp.status >= 500 && req.restarts == 0 && (req.method == "GET" || req.method == "HEAD") && !req.http.Authorization && !req.http.X-Api-Key) {
    set req.http.X-Sluice-Retry-After = resp.http.Retry-After;
    return (restart);
  }
  unset resp.http.X-Sluice-Path;
  unset resp.http.Via;
  unset resp.http.X-Varnish;
  set resp.http.X-Edge = req.http.X-Sluice-Edge;
}

sub vcl_backend_error {
  # The origin is away: as its own answers look.
  set beresp.status = 503;
  set beresp.http.Content-Type = "application/problem+json; charset=utf-8";
  set beresp.http.Retry-After = "1";
  set beresp.http.Cache-Control = "no-store";
  set beresp.ttl = 0s;
  set beresp.grace = 0s;
  set beresp.keep = 0s;
  synthetic({"{"type":"https://sluice.dev/problems/unavailable","title":"Not available right now","detail":"No node of the shop answers. Ask again in a moment; with the same Idempotency-Key if you sent one.","code":"unavailable","status":503}"});
  return (deliver);
}

sub vcl_synth {
  set resp.http.Cache-Control = "no-store";
  if (resp.status == 503) {
    set resp.http.Content-Type = "application/problem+json; charset=utf-8";
    set resp.http.X-Edge = req.http.X-Sluice-Edge;
    if (req.http.X-Sluice-Retry-After ~ "^[0-9]+$") {
      set resp.http.Retry-After = req.http.X-Sluice-Retry-After;
    } else {
      set resp.http.Retry-After = "1";
    }
    set resp.body = {"{"type":"https://sluice.dev/problems/unavailable","title":"Not available right now","detail":"No node of the shop answers. Ask again in a moment.","code":"unavailable","status":503}"};
    return (deliver);
  }
  set resp.http.Content-Type = "text/plain; charset=utf-8";
  set resp.body = resp.reason;
  return (deliver);
}
