vcl 4.1;

backend hub {
    .host = "127.0.0.1";
    .port = "3000";
}

sub vcl_recv {
    if (req.url ~ "^/events") {
        return (pipe);
    }
}

sub vcl_pipe {
    # The pipe ends with this response, so that the next request does not go through it.
    set bereq.http.Connection = "close";
}
