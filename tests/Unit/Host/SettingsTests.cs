using System.ComponentModel.DataAnnotations;
using Sluice.Host;
using Sluice.Platform.Hosting;
using Sluice.Platform.Pools;
using Sluice.Platform.Redis;
using Sluice.Platform.Sql;
using Sluice.Platform.WriteQueue;
using Xunit;

namespace Sluice.Tests.Unit.Host;

public sealed class SettingsTests
{
    private static readonly Dictionary<string, Type> Sections = new(StringComparer.OrdinalIgnoreCase)
    {
        [""] = typeof(NodeOptions), ["Pools"] = typeof(PoolsOptions), ["Redis"] = typeof(RedisOptions), ["Sql"] = typeof(SqlOptions), ["WriteQueue"] = typeof(WriteQueueOptions),
    };

    [Fact]
    public void Load_WithoutSettings_IsTheDefault()
    {
        var settings = Load();
        Assert.Equal(256, settings.Get<PoolsOptions>().BatchClaimsMax);
        Assert.Empty(settings.NotDefault);
    }

    [Theory]
    [InlineData("Pools:BatchClaimsMax", "17")]
    [InlineData("pools:batchclaimsmax", " 17 ")]
    public void Load_AKnownSetting_IsTaken(string key, string value)
    {
        var settings = Load((key, value));
        Assert.Equal(17, settings.Get<PoolsOptions>().BatchClaimsMax);
        Assert.Equal("Pools:BatchClaimsMax = 17", Assert.Single(settings.NotDefault));
    }

    [Theory]
    [InlineData("", "", true)]
    [InlineData("https://login.example.org", "shop", true)]
    [InlineData("http://127.0.0.1:5000", "shop", true)]
    [InlineData("http://login.example.org", "shop", false)]
    [InlineData("login.example.org", "shop", false)]
    [InlineData("https://login.example.org", "", false)]
    [InlineData("", "shop", false)]
    public void Oidc_IssuerAndAudience_GoTogetherAndNeedTls(string issuer, string audience, bool isLegal) =>
        Assert.Equal(isLegal, !new Sluice.Platform.Http.OidcOptions { Issuer = issuer, Audience = audience }.Contradictions().Any());

    [Fact]
    public void Load_EnumsTimesAndFlags_AreRead()
    {
        var settings = Load(("Pools:Durability", "committed"), ("Pools:SoldOutBelief", "00:00:02.5"), ("Roles", "Api, Worker"), ("Redis:AcceptWeakDurability", "true"));
        Assert.Equal(Durability.Committed, settings.Get<PoolsOptions>().Durability);
        Assert.Equal(TimeSpan.FromSeconds(2.5), settings.Get<PoolsOptions>().SoldOutBelief);
        Assert.Equal(Roles.Api | Roles.Worker, settings.Get<NodeOptions>().Roles);
        Assert.True(settings.Get<RedisOptions>().AcceptWeakDurability);
    }

    [Theory]
    [InlineData("Redis", "", true)]
    [InlineData("Redis", "amqp://shop:secret@host/", false)]
    [InlineData("RabbitMq", "amqp://shop:secret@host:5672/shop, amqps://shop:secret@other", true)]
    [InlineData("RabbitMq", "", false)]
    [InlineData("RabbitMq", "host:5672", false)]
    [InlineData("RabbitMq", "amqp://shop:secret@one,http://shop:secret@two", false)]
    [InlineData("RabbitMq", "amqp://secret@host", false)]
    [InlineData("Kafka", "one:9092,two:9092", true)]
    [InlineData("Kafka", "bootstrap.servers=one:9092;sasl.password=sec=ret", true)]
    [InlineData("Kafka", "one", false)]
    [InlineData("Kafka", "sasl.password=secret", false)]
    [InlineData("Kafka", "bootstrap.servers=one:9092;acks=1", false)]
    [InlineData("Kafka", "bootstrap.servers=one:9092;secret", false)]
    public void Queue_WhoseConnectionDoesNotFitItsEngine_IsRefusedAndNotShown(string engine, string connection, bool fits)
    {
        var settings = Load(("WriteQueue:Engine", engine), ("WriteQueue:Connection", connection));
        var says = settings.Get<WriteQueueOptions>().Contradictions().ToList();
        Assert.Equal(fits, says.Count == 0);
        Assert.DoesNotContain("secret", string.Concat(says) + string.Concat(settings.NotDefault), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("WriteQueue:Engine", "Nats")]
    [InlineData("WriteQueue:Name", "My shop")]
    [InlineData("WriteQueue:InFlightMax", "99")]
    [InlineData("WriteQueue:RepublishAfter", "00:00:00.5")]
    public void Queue_WithASettingOutOfItsBounds_IsRefused(string key, string value) => Assert.StartsWith($"{key}: '{value}' is ", Refusal((key, value)), StringComparison.Ordinal);

    [Theory]
    [InlineData("Pools:BatchClaimMax", "Pools:BatchClaimsMax")]
    [InlineData("Pool:Durability", "Pools:Durability")]
    [InlineData("Dtaa", "Data")]
    public void Load_AMisspeltSetting_IsRefusedWithAHint(string key, string meant) =>
        Assert.Equal($"{key}: there is no such setting; did you mean {meant}?", Refusal((key, "1")));

    [Theory]
    [InlineData("Kafka:Brokers")]
    [InlineData("Pools:Durability:More")]
    public void Load_AnUnknownSetting_IsRefused(string key) => Assert.Equal($"{key}: there is no such setting", Refusal((key, "1")));

    [Theory]
    [InlineData("Pools:BatchClaimsMax", "0", "1 to 1000")]
    [InlineData("Pools:BatchClaimsMax", "1001", "1 to 1000")]
    [InlineData("Pools:SoldOutBelief", "00:01:00", "00:00:00.05 to 00:00:10")]
    [InlineData("Pools:SoldOutBelief", "5", "00:00:00.05 to 00:00:10")]
    [InlineData("NodeId", "-1", "0 to 255")]
    public void Load_OutOfBounds_IsRefusedWithTheBounds(string key, string value, string bounds) =>
        Assert.Equal($"{key}: '{value}' is out of bounds; allowed: {bounds}", Refusal((key, value)));

    [Theory]
    [InlineData("Pools:BatchClaimsMax", "many", "a number")]
    [InlineData("Pools:BatchClaimsMax", "99999999999", "a number")]
    [InlineData("Pools:SoldOutBelief", "soon", "a time such as 00:00:05")]
    [InlineData("Pools:SoldOutBelief", "99999999.00:00:00", "a time such as 00:00:05")]
    [InlineData("Redis:AcceptWeakDurability", "perhaps", "true or false")]
    [InlineData("Pools:Durability", "Strong", "one of Logged, Replicated, Committed")]
    public void Load_WhatCannotBeRead_IsRefusedWithWhatCan(string key, string value, string wanted) =>
        Assert.StartsWith($"{key}: '{value}' is not {wanted}", Refusal((key, value)), StringComparison.Ordinal);

    // An enum takes any number in .NET; here only names that exist.
    [Theory]
    [InlineData("Pools:Durability", "7")]
    [InlineData("Pools:Durability", "Logged,Committed,7")]
    [InlineData("Roles", "64")]
    public void Load_AnEnumThatHasNoSuchName_IsRefused(string key, string value) => Assert.StartsWith($"{key}: '{value}' is not one of", Refusal((key, value)), StringComparison.Ordinal);

    [Fact]
    public void Load_SeveralWrong_NamesEach() =>
        Assert.Equal(2, Assert.Throws<SettingsException>(() => Load(("Pools:Durability", "Strong"), ("NodeId", "256"))).Wrong.Count);

    [Fact]
    public void Load_AConnectionString_IsNotShown() =>
        Assert.Equal("Redis:Connection = …", Assert.Single(Load(("Redis:Connection", "shop:6379,password=hunter2")).NotDefault));

    [Theory]
    [InlineData("Server=db;User ID=sluice;Password=hunter2", "Sql:Connection: '…' is out of bounds; write 'embedded', or Server=…;Port=…;User ID=…;Password=…;Database=…")]
    [InlineData("hunter2", "Sql:Connection: '…' is out of bounds; write 'embedded', or Server=…;Port=…;User ID=…;Password=…;Database=…")]
    [InlineData("Server=db;User ID=sluice;Password=hunter2;Database=shop;Colour=red", "Sql:Connection: '…' is out of bounds; write 'embedded', or Server=…;Port=…;User ID=…;Password=…;Database=…")]
    public void Load_AConnectionStringThatIsNone_IsRefusedAndNotShown(string value, string says) => Assert.Equal(says, Refusal(("Sql:Connection", value)));

    [Theory]
    [InlineData("embedded")]
    [InlineData("shop:6379,user=sluice,password=hunter2,ssl=true")]
    [InlineData("a:26379,b:26379,c:26379,serviceName=shop,password=hunter2")]
    [InlineData("a:6379,b:6379,c:6379,user=sluice,password=hunter2")]
    [InlineData("10.0.0.1:26379,10.0.0.2:26379,10.0.0.3:26379,10.0.0.4:26379,10.0.0.5:26379,serviceName=shop")]
    public void Load_AConnectionStringOfRedis_IsTaken(string value) => Assert.Equal(value, Load(("Redis:Connection", value)).Get<RedisOptions>().Connection);

    [Theory]
    [InlineData("a:6379,b:6379")]
    [InlineData("a:26379,b:26379,serviceName=shop")]
    [InlineData("a:26379,a:26379,b:26379,serviceName=shop")]
    [InlineData("a,b,c,serviceName=shop")]
    [InlineData("a,b,c")]
    [InlineData("a:6379,colour=red")]
    [InlineData("serviceName=shop")]
    public void Load_AConnectionStringOfRedisThatIsNoneOrNamesTooFew_IsRefused(string value) => Assert.Equal(
        "Redis:Connection: '…' is out of bounds; write 'embedded', or host:port,… of one server, or host:port,host:port,host:port,serviceName=… of at least three Sentinels, or without serviceName of at least three nodes of a Redis Cluster",
        Refusal(("Redis:Connection", value)));

    [Theory]
    [InlineData("embedded", "", true, "Pools:Durability: 'Replicated' needs a Redis server with replicas, and Redis:Connection is 'embedded'")]
    [InlineData("shop:6379", "hunter2", false, "Redis:SentinelUser, Redis:SentinelPassword: Redis:Connection names no Sentinels (it has no serviceName=…)")]
    [InlineData("a:26379,b:26379,c:26379,serviceName=shop", "hunter2", true, null)]
    public void Contradictions_OfRedisSettings_AreSaid(string connection, string password, bool replicated, string? says) =>
        Assert.Equal(says, new RedisOptions { Connection = connection, SentinelPassword = password }.Contradictions(replicated).SingleOrDefault());

    [Theory]
    [InlineData("Orders:Sql:Connection", "Orders:Sql:Connection: the tables of Orders are in transactions with those of the pools, and stay with them in the database of Sql:Connection")]
    [InlineData("flashsales:sql:Readers:0", "flashsales:sql:Readers:0: the tables of FlashSales are in transactions with those of the pools, and stay with them in the database of Sql:Connection")]
    [InlineData("Stocks:Redis:Connection", "Stocks:Redis:Connection: Stocks keeps nothing in Redis but its pools, which are in the Redis of Redis:Connection; the cache has Cache:Connection")]
    [InlineData("Catalog:Redis:Connection", "Catalog:Redis:Connection: Catalog keeps nothing in Redis but what is cached; the cache has Cache:Connection")]
    [InlineData("Catalog:Sql:Connection", "Catalog:Sql:Connection: '…' is out of bounds; leave it empty, or write Server=…;Port=…;User ID=…;Password=…;Database=…")]
    [InlineData("Catalog:Sql:Readers:0", "Catalog:Sql:Readers: '…' is out of bounds; write Server=…;Port=…;User ID=…;Password=…;Database=… into each, 16 at most")]
    [InlineData("Accounts:Redis:Connection", "Accounts:Redis:Connection: '…' is out of bounds; leave it empty, or write host:port,… as in Redis:Connection")]
    public void Load_AnEngineOfAModule_IsTakenWhereItMayHaveOne(string key, string says) =>
        Assert.Equal(says, Assert.Single(Assert.Throws<SettingsException>(() => Node.Load([KeyValuePair.Create<string, string?>(key, "embedded")])).Wrong));

    [Fact]
    public void Load_TheDatabaseOfAModule_IsTakenAndNotShown()
    {
        var settings = Node.Load([new("Accounts:Sql:Connection", "Server=db;User ID=a;Password=hunter2;Database=people"), new("Accounts:Sql:Readers:0", "Server=other;User ID=a;Password=hunter2;Database=people")]);
        Assert.Equal((1, false), (Node.OwnSql(settings)["Accounts"].Readers.Count, Node.OwnSql(settings)["Catalog"].Connection.Length > 0));
        Assert.Equal(["Accounts:Sql:Connection = …", "Accounts:Sql:Readers = …"], settings.NotDefault);
        Assert.Single(new ModuleSqlOptions { StartEmpty = true }.Contradictions("Accounts"));
        Assert.Empty(Node.OwnSql(settings)["Accounts"].Contradictions("Accounts"));
    }

    [Fact]
    public void LimitsAndTimes_OfAModulesDatabase_AreThoseOfTheMainOne()
    {
        var main = new SqlOptions();
        List<System.Reflection.PropertyInfo> limits = [.. typeof(SqlOptions).GetProperties().Where(property => property.CanWrite && property.Name is not ("Connection" or "Readers" or "Shards"))];
        foreach (var limit in limits)
        {
            limit.SetValue(main, limit.GetValue(main) switch { TimeSpan time => time * 2, int number => number + 1, bool flag => !flag, var other => throw new InvalidOperationException($"{limit.Name} is {other}.") });
        }

        var own = new ModuleSqlOptions { Connection = "here", Readers = ["there"] }.Over(main);
        Assert.All(limits, limit => Assert.Equal(limit.GetValue(main), limit.GetValue(own)));
        Assert.Equal(("here", "there"), (own.Connection, own.Readers.Single()));
    }

    [Fact]
    public void Contradictions_OfAnAuthority_AreSaid()
    {
        var file = typeof(SettingsTests).Assembly.Location;
        Assert.Contains("does not say ssl=true", Assert.Single(new RedisOptions { Connection = "shop:6379", CaFile = file }.Contradictions(replicated: false)), StringComparison.Ordinal);
        Assert.Contains("there is no file", Assert.Single(new RedisOptions { Connection = "shop:6379,ssl=true", CaFile = file + ".other" }.Contradictions(replicated: false)), StringComparison.Ordinal);
        Assert.Empty(new RedisOptions { Connection = "shop:6379,ssl=true", CaFile = file }.Contradictions(replicated: false));
    }

    [Fact]
    public void Load_APassword_IsNotShown() => Assert.Equal("Redis:SentinelPassword = …", Assert.Single(Load(("Redis:SentinelPassword", "hunter2")).NotDefault));

    [Theory]
    [InlineData("Embedded")]
    [InlineData("Server=db;Port=3307;User ID=sluice;Password=hunter2;Database=shop;SslMode=Required")]
    public void Load_AConnectionStringOfMySql_IsTakenAndNotShown(string value)
    {
        var settings = Load(("Sql:Connection", value));
        Assert.Equal(value, settings.Get<SqlOptions>().Connection);
        Assert.Equal("Sql:Connection = …", Assert.Single(settings.NotDefault));
    }

    [Fact]
    public void Load_AListOfConnectionStrings_IsTakenInTheOrderOfItsNumbersAndNotShown()
    {
        var servers = Enumerable.Range(0, 12).Select(i => $"Server=db{i};User ID=sluice;Password=hunter2;Database=shop").ToList();
        var settings = Load([.. servers.Select((server, i) => ($"Sql:Readers:{i}", server)).Reverse()]);
        Assert.Equal(servers, settings.Get<SqlOptions>().Readers);
        Assert.Equal("Sql:Readers = …", Assert.Single(settings.NotDefault));
    }

    [Theory]
    [InlineData("Sql:Readers", "Sql:Readers: there is no such setting; did you mean Sql:Readers:0?")]
    [InlineData("Sql:Readers:first", "Sql:Readers:first: there is no such setting")]
    [InlineData("Sql:Connection:0", "Sql:Connection:0: there is no such setting; did you mean Sql:Connection?")]
    public void Load_AListThatIsNoneOrNoListAtAll_IsRefused(string key, string says) => Assert.Equal(says, Refusal((key, "Server=db;User ID=sluice;Password=hunter2;Database=shop")));

    [Theory]
    [InlineData("embedded")]
    [InlineData("Server=db;Password=hunter2")]
    public void Load_AListWithAnElementThatIsNoServer_IsRefusedAndNotShown(string value) => Assert.Equal(
        "Sql:Readers: '…' is out of bounds; write Server=…;Port=…;User ID=…;Password=…;Database=… into each, 16 at most",
        Refusal(("Sql:Readers:0", "Server=db;User ID=sluice;Password=hunter2;Database=shop"), ("Sql:Readers:1", value)));

    [Fact]
    public void Load_EverySettingOfTheNode_HasADefaultWithinItsBounds() => Assert.All(Node.Sections, section =>
    {
        var options = Activator.CreateInstance(section.Value)!;
        Validator.ValidateObject(options, new ValidationContext(options), validateAllProperties: true);
    });

    private static Settings Load(params (string Key, string Value)[] overrides) =>
        Settings.Load(Sections, overrides.Select(setting => KeyValuePair.Create(setting.Key, (string?)setting.Value)));

    private static string Refusal(params (string Key, string Value)[] overrides) => Assert.Single(Assert.Throws<SettingsException>(() => Load(overrides)).Wrong);
}
