vcl 4.1;

backend hub {
    .host = "127.0.0.1";
    .port = "3000";
}
