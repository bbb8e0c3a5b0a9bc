using System.Reflection;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.FileProviders;
using OpenTelemetry.Metrics;
using Scalar.AspNetCore;
using Sluice.Modules;
using Sluice.Operations.LoadBalancer;
using Sluice.Operations.Nodes;
using Sluice.Operations.Publishing;
using Sluice.Platform.Admission;
using Sluice.Platform.Cache;
using Sluice.Platform.Hosting;
using Sluice.Platform.Http;
using Sluice.Platform.Pools;
using Sluice.Platform.Redis;
using Sluice.Platform.Sql;
using Sluice.Platform.WriteQueue;

namespace Sluice.Host;

/// <summary>One running node: its settings, its engines, its web application. Composes, and holds no business rule.</summary>
internal sealed class Node : IAsyncDisposable
{
    private readonly NodeDatabases databases;
    private readonly Shards shards;
    private readonly RedisConnection redis;
    private readonly IReadOnlyDictionary<string, RedisConnection> moduleRedis;
    private readonly CacheTiers tiers;
    private readonly ILoggerFactory engineLogs;

    private Node(
        Settings settings, IReadOnlyList<IModule> modules, NodeDatabases databases, Shards shards, RedisConnection redis, IReadOnlyDictionary<string, RedisConnection> moduleRedis, CacheTiers tiers, ILoggerFactory engineLogs, WebApplication app) =>
        (Settings, Modules, this.databases, this.shards, this.redis, this.moduleRedis, this.tiers, this.engineLogs, App) = (settings, modules, databases, shards, redis, moduleRedis, tiers, engineLogs, app);

    /// <summary>What brings its migrations.</summary>
    public static readonly Assembly[] Schemas = [typeof(Database).Assembly, typeof(ModuleList).Assembly];

    public Settings Settings { get; }

    public IReadOnlyList<IModule> Modules { get; }

    public WebApplication App { get; }

    public string Engines => $"{redis.Describe}; {string.Concat(moduleRedis.Select(own => $"{own.Key}: {own.Value.Describe}; "))}{databases.Describe}{shards.Describe}{tiers.Describe}{(Brokers is { } brokers ? $"; {brokers.Describe}" : "")}";

    // Null on a node that is no worker, or whose workers read the log.
    private Brokers? Brokers => App.Services.GetService<Brokers>();

    /// <summary>Options class for each section of the settings.</summary>
    public static IReadOnlyDictionary<string, Type> Sections { get; } = new Dictionary<string, Type>(StringComparer.OrdinalIgnoreCase)
    {
        [""] = typeof(NodeOptions),
        ["Redis"] = typeof(RedisOptions),
        ["Sql"] = typeof(SqlOptions),
        ["Pools"] = typeof(PoolsOptions),
        ["WriteQueue"] = typeof(WriteQueueOptions),
        ["Cache"] = typeof(CacheOptions),
        ["Admission"] = typeof(AdmissionOptions),
        ["Oidc"] = typeof(OidcOptions),
        ["Nodes"] = typeof(NodesOptions),
        ["Nginx"] = typeof(NginxOptions),
        ["Publish"] = typeof(PublishOptions),
    }.Concat(ModuleList.All.SelectMany(module => module.Options)).Concat(ModuleList.All.Where(module => module.TablesApart.Count > 0).Select(module => KeyValuePair.Create($"{module.Name}:Sql", typeof(ModuleSqlOptions)))).ToDictionary(StringComparer.OrdinalIgnoreCase);

    // Somebody may look for them: these modules write in transactions with the pools.
    private static readonly Dictionary<string, string> Withheld = ModuleList.All.Where(module => module.TablesApart.Count == 0).SelectMany(module => new[]
    {
        KeyValuePair.Create($"{module.Name}:Sql", $"the tables of {module.Name} are in transactions with those of the pools, and stay with them in the database of Sql:Connection"),
        KeyValuePair.Create($"{module.Name}:Redis", $"{module.Name} keeps nothing in Redis but its pools, which are in the Redis of Redis:Connection; the cache has Cache:Connection"),
    }).Append(KeyValuePair.Create("Catalog:Redis", "Catalog keeps nothing in Redis but what is cached; the cache has Cache:Connection")).ToDictionary(StringComparer.OrdinalIgnoreCase);

    /// <exception cref="SettingsException">A setting is wrong.</exception>
    public static Settings Load(IEnumerable<KeyValuePair<string, string?>> overrides) => Settings.Load(Sections, overrides, Withheld);

    /// <summary>Opens the engines, brings the schema up to date, and builds the application. Nothing listens yet.</summary>
    /// <exception cref="SettingsException">A setting is wrong.</exception>
    /// <exception cref="DependencyUnavailableException">An engine does not answer.</exception>
    public static async Task<Node> OpenAsync(Settings settings)
    {
        // The engines block a thread for each disk write; with as many threads as cores, the rest would wait for them.
        ThreadPool.SetMinThreads(Math.Max(16, Environment.ProcessorCount * 4), 4);

        var node = settings.Get<NodeOptions>();
        var (modules, needs) = ModulesOf(node);
        Choose(settings.Get<NginxOptions>().Modules, "Nginx:Modules");
        var proxies = Proxies.Trust(node.KnownProxies);
        var replicated = settings.Get<PoolsOptions>().Durability == Durability.Replicated;
        if (settings.Get<RedisOptions>().Contradictions(replicated).Concat(settings.Get<SqlOptions>().Contradictions()).Concat(settings.Get<WriteQueueOptions>().Contradictions()).Concat(settings.Get<PublishOptions>().Contradictions())
            .Concat(settings.Get<OidcOptions>().Contradictions()).Concat(OwnSql(settings).SelectMany(own => own.Value.Contradictions(own.Key))).ToList() is { Count: > 0 } contradictions)
        {
            throw new SettingsException(contradictions);
        }

        Directory.CreateDirectory(node.Data);

        // Settings are read once, by Settings. Watching for changes would also watch a data folder inside this one, at the cost of the half of every write.
        var builder = WebApplication.CreateSlimBuilder(new WebApplicationOptions
        {
            ContentRootPath = AppContext.BaseDirectory, ApplicationName = "sluice", Args = ["--hostBuilder:reloadConfigOnChange=false"],
        });
        ToStandardError(builder.Logging.ClearProviders()).SetMinimumLevel(LogLevel.Information)
            .AddFilter("Microsoft", LogLevel.Warning).AddFilter("Microsoft.AspNetCore.Hosting.Diagnostics", LogLevel.None).AddFilter("Garnet", LogLevel.Error).AddFilter("Tsavorite", LogLevel.Error).AddFilter("FluentMigrator", LogLevel.Warning);
        builder.Logging.Configure(options => options.ActivityTrackingOptions = ActivityTrackingOptions.None);

        // The engines are opened before there is an application, and outlive it.
        var engineLogs = LoggerFactory.Create(logging => ToStandardError(logging).SetMinimumLevel(LogLevel.Error).AddFilter("Sluice", LogLevel.Information));
        var databases = new NodeDatabases(settings.Get<SqlOptions>(), node.Data, modules, needs, OwnSql(settings));
        Assembly[] schemas = databases.IsHomeInMain ? Schemas : [];
        Shards? shards = null;
        RedisConnection? redis = null;
        var moduleRedis = new Dictionary<string, RedisConnection>(StringComparer.OrdinalIgnoreCase);
        CacheTiers tiers;
        try
        {
            await databases.PrepareAsync();
            shards = await Shards.OpenAsync(settings.Get<SqlOptions>(), node.Data, databases.Main, schemas, engineLogs.CreateLogger<ShardKeeper>());
            redis = await RedisConnection.OpenAsync(settings.Get<RedisOptions>(), node.Data, engineLogs, replicated);
            foreach (var (section, own) in settings.Each<ModuleRedisOptions>())
            {
                if (own.Beside(settings.Get<RedisOptions>()) is { } options && needs.Any(module => module.Name == ModuleOf(section)))
                {
                    moduleRedis[ModuleOf(section)] = await RedisConnection.OpenAsync(options, node.Data, engineLogs);
                }
            }

            tiers = await CacheTiers.OpenAsync(settings.Get<CacheOptions>(), redis, node.Data, engineLogs, TimeProvider.System);
        }
        catch
        {
            foreach (var each in moduleRedis.Values.Append(redis).OfType<RedisConnection>())
            {
                await each.DisposeAsync();
            }

            shards?.Dispose();
            databases.Dispose();
            engineLogs.Dispose();
            throw;
        }

        Configure(builder, settings, node);
        builder.Services.AddPlatform(node, databases, shards, redis, tiers, schemas);
        foreach (var options in settings.All.Where(options => options is not NodeOptions))
        {
            builder.Services.AddSingleton(options.GetType(), options);
        }

        builder.Services.AddSite(settings.Get<PublishOptions>());
        if (node.Roles.HasFlag(Roles.Ops) && settings.Get<PublishOptions>().IsOn)
        {
            builder.Services.AddHostedService<SitePublisher>();
        }

        if (!redis.IsEmbedded)
        {
            // Before everything else that runs: a node whose number is taken must not do anything.
            builder.Services.AddSingleton<NodeRegistry>();
            builder.Services.AddSingleton<NodeHeartbeat>();
            builder.Services.AddHostedService(provider => provider.GetRequiredService<NodeHeartbeat>());
            if (node.Roles.HasFlag(Roles.Ops) && settings.Get<NginxOptions>().UpstreamFile.Length > 0)
            {
                builder.Services.AddHostedService<NginxKeeper>();
            }
        }

        foreach (var module in needs)
        {
            builder.Services.AddModuleEngines(module, databases.Of(module.Name), moduleRedis.GetValueOrDefault(module.Name));
            module.AddServices(builder.Services);
        }

        foreach (var module in modules)
        {
            module.AddPoolKinds(builder.Services);
        }

        if (node.Roles.HasFlag(Roles.Api))
        {
            builder.Services.AddPlatformApi(databases);
        }

        if (node.Roles.HasFlag(Roles.Worker))
        {
            foreach (var module in modules)
            {
                module.AddWorkers(builder.Services);
            }

            builder.Services.AddPlatformWorkers(databases, settings.Get<WriteQueueOptions>());
        }

        var app = builder.Build();
        app.Lifetime.ApplicationStopping.Register(app.Services.GetRequiredService<ClaimWaiters>().StopWaiting);
        Map(app, node, proxies, modules);
        var opened = new Node(settings, modules, databases, shards, redis, moduleRedis, tiers, engineLogs, app);
        if (opened.Brokers is { } brokers)
        {
            try
            {
                await brokers.OpenAsync();
            }
            catch
            {
                await opened.DisposeAsync();
                throw;
            }
        }

        return opened;
    }

    public async ValueTask DisposeAsync()
    {
        await App.DisposeAsync();
        await tiers.DisposeAsync();
        foreach (var own in moduleRedis.Values)
        {
            await own.DisposeAsync();
        }

        await redis.DisposeAsync();
        shards.Dispose();
        databases.Dispose();
        engineLogs.Dispose();
    }

    private static ILoggingBuilder ToStandardError(ILoggingBuilder logging) => logging.AddSimpleConsole(console =>
    {
        console.SingleLine = true;
        console.TimestampFormat = "HH:mm:ss ";
        console.UseUtcTimestamp = true;
    }).AddConsole(console => console.LogToStandardErrorThreshold = LogLevel.Trace);

    /// <summary>Modules that a node runs, and those whose services it has: they themselves and what they need.</summary>
    /// <exception cref="SettingsException">One of the names is none.</exception>
    public static (IReadOnlyList<IModule> Runs, IReadOnlyList<IModule> Needs) ModulesOf(NodeOptions node)
    {
        var runs = Choose(node.Modules, "Modules");
        return (runs, [.. runs.SelectMany(WithNeeds).Distinct()]);
    }

    private static List<IModule> Choose(string names, string setting)
    {
        if (string.Equals(names.Trim(), "all", StringComparison.OrdinalIgnoreCase))
        {
            return [.. ModuleList.All];
        }

        var wanted = names.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        var unknown = wanted.Where(name => !ModuleList.All.Any(module => string.Equals(module.Name, name, StringComparison.OrdinalIgnoreCase))).ToList();
        return unknown.Count == 0 && wanted.Length > 0
            ? [.. ModuleList.All.Where(module => wanted.Contains(module.Name, StringComparer.OrdinalIgnoreCase))]
            : throw new SettingsException([$"{setting}: '{string.Join(", ", unknown)}' is none of {string.Join(", ", ModuleList.All.Select(module => module.Name))}"]);
    }

    /// <summary>What the settings say of modules' own databases, by the module.</summary>
    public static IReadOnlyDictionary<string, ModuleSqlOptions> OwnSql(Settings settings) => settings.Each<ModuleSqlOptions>().ToDictionary(section => ModuleOf(section.Key), section => section.Value, StringComparer.OrdinalIgnoreCase);

    private static string ModuleOf(string section) => section[..section.IndexOf(':', StringComparison.Ordinal)];

    private static IEnumerable<IModule> WithNeeds(IModule module) => module.Needs.SelectMany(name => WithNeeds(ModuleList.All.Single(other => other.Name == name))).Append(module);

    private static void Configure(WebApplicationBuilder builder, Settings settings, NodeOptions node)
    {
        builder.WebHost.UseUrls(node.Urls.Split(';', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries));
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxRequestBodySize = 64 * 1024;
            kestrel.Limits.MaxRequestHeadersTotalSize = 16 * 1024;
            kestrel.Limits.MaxRequestHeaderCount = 64;
            kestrel.Limits.MaxRequestLineSize = 4 * 1024;
            kestrel.Limits.MaxConcurrentConnections = 20_000;
            kestrel.Limits.RequestHeadersTimeout = TimeSpan.FromSeconds(10);
            kestrel.Limits.MinRequestBodyDataRate = new MinDataRate(240, TimeSpan.FromSeconds(5));
        });
        builder.Services.Configure<HostOptions>(host => host.ShutdownTimeout = node.DrainTimeMax);
        builder.Services.Configure<RouteHandlerOptions>(routes => routes.ThrowOnBadRequest = true);
        builder.Services.AddRouting();
        builder.Services.ConfigureHttpJsonOptions(json =>
        {
            // Strict at the edge: an unknown, doubled or mistyped field is an error of the caller that is told, not guessed.
            var options = json.SerializerOptions;
            options.UnmappedMemberHandling = System.Text.Json.Serialization.JsonUnmappedMemberHandling.Disallow;
            options.NumberHandling = System.Text.Json.Serialization.JsonNumberHandling.Strict;
            options.AllowDuplicateProperties = false;
            options.MaxDepth = 16;
        });
        builder.Services.AddOpenApi("v1", ApiDocument.Describe);
        builder.Services.AddOpenTelemetry().WithMetrics(metrics => metrics
            .AddMeter(PoolMetrics.MeterName, "Microsoft.AspNetCore.Hosting", "Microsoft.AspNetCore.Server.Kestrel").AddRuntimeInstrumentation().AddPrometheusExporter());
    }

    private static void Map(WebApplication app, NodeOptions node, ForwardedHeadersOptions proxies, IReadOnlyList<IModule> modules)
    {
        var edge = app.Services.GetRequiredService<Edge>();
        var access = app.Services.GetRequiredService<Access>();
        app.UseForwardedHeaders(proxies);
        app.Use(edge.InvokeAsync);
        if (app.Services.GetRequiredService<AdmissionOptions>().RequestsPerAddressPerSecond > 0)
        {
            app.Use(app.Services.GetRequiredService<AddressLimit>().InvokeAsync);
        }

        // Only what is no API call is a page, and looked for on the disk.
        app.UseWhen(context => !context.Request.Path.StartsWithSegments("/v1", StringComparison.Ordinal), StaticPages.Use);
        app.Use(HeadRequests.InvokeAsync);
        app.UseRouting();
        app.Use(access.InvokeAsync);
        app.Use(Bodies.InvokeAsync);

        Health.Map(app);
        app.MapPrometheusScrapingEndpoint("/metrics").For(AccessRule.Public);
        if (node.Roles.HasFlag(Roles.Api))
        {
            var routes = app.ReadAfterAccess();
            if (app.Services.GetRequiredService<NodeDatabases>().IsHomeInMain)
            {
                PoolRoutes.Map(routes);
            }

            foreach (var module in modules)
            {
                module.MapEndpoints(routes);
            }

            app.MapOpenApi("/openapi/v1.json").For(AccessRule.Public);
            // Nothing on the page leads to another host.
            app.MapScalarApiReference(
                "/docs", docs => docs.WithTitle("Sluice API").DisableDefaultFonts().DisableTelemetry().DisableAgent().DisableMcp().HideClientButton().HideDeveloperTools())
                .For(AccessRule.Public);
        }
    }
}
