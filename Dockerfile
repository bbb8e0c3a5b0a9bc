# The program `sluice`, for any node: what a node does is set by SLUICE__… variables (docs/settings.md).
#   docker build -t sluice:local .
# Its data folder, /var/lib/sluice, holds the keys that all nodes of a shop share, and with the embedded engines everything else too: mount a volume there.
FROM mcr.microsoft.com/dotnet/sdk:10.0 AS build
WORKDIR /source
# What decides which packages are needed comes first: a change of code alone restores nothing again.
COPY global.json Directory.Build.props Directory.Packages.props .editorconfig BannedSymbols.txt ./
COPY src/Platform/*.csproj src/Platform/
COPY src/Modules/*.csproj src/Modules/
COPY src/Operations/*.csproj src/Operations/
COPY src/Host/*.csproj src/Host/
RUN dotnet restore src/Host --use-current-runtime -p:PublishReadyToRun=true
COPY src src
# Parts of the program: a cluster on one host is made from them.
COPY deploy/nginx deploy/nginx
COPY deploy/haproxy deploy/haproxy
COPY deploy/mariadb deploy/mariadb
# Compiled ahead: a node that is added in mid-sale is ready in three quarters of the time.
RUN dotnet publish src/Host --no-restore --configuration Release --use-current-runtime --no-self-contained -p:PublishReadyToRun=true --output /app

FROM mcr.microsoft.com/dotnet/aspnet:10.0
# 1654, the image's own user without rights. A volume that is made at /var/lib/sluice is then that user's too.
RUN install -d -o $APP_UID -g $APP_UID -m 0700 /var/lib/sluice
COPY --from=build /app /app
ENV DOTNET_gcServer=0 DOTNET_EnableDiagnostics=0 DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1 SLUICE__DATA=/var/lib/sluice SLUICE__URLS=http://0.0.0.0:8080
WORKDIR /var/lib/sluice
USER $APP_UID
EXPOSE 8080
# SIGTERM drains: give it longer than the setting DrainTimeMax (20 s) before SIGKILL.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/app/sluice"]
CMD ["serve"]
